"""Names of licences: many spellings, one expression; what nobody knows is never taken for something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.spdx import expression, licence_id

NAMES = [
    ("Expat", "MIT"),
    ("The MIT License", "MIT"),
    ("mit", "MIT"),
    ("GPL-2+", "GPL-2.0-or-later"),
    ("GPL-2", "GPL-2.0-only"),
    ("GPL-2.0", "GPL-2.0-only"),
    ("gpl-3.0", "GPL-3.0-only"),
    ("GPLv2+", "GPL-2.0-or-later"),
    ("GNU GPL v3 or later", "GPL-3.0-or-later"),
    ("GNU Lesser General Public License v2.1", "LGPL-2.1-only"),
    ("LGPL-2.1+", "LGPL-2.1-or-later"),
    ("GPL", "GPL-1.0-or-later"),
    ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
    ("Apache License, Version 2.0", "Apache-2.0"),
    ("apache 2", "Apache-2.0"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("BSD", "BSD-3-Clause"),
    ("public domain", "LicenseRef-public-domain"),
    ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
    ("cc-by-nc-nd-4.0", "CC-BY-NC-ND-4.0"),
    ("Creative Commons Attribution-ShareAlike 3.0 Unported", "CC-BY-SA-3.0"),
    ("CC0", "CC0-1.0"),
    ("Mozilla Public License 2.0", "MPL-2.0"),
    ("공공누리 제1유형", "LicenseRef-KOGL-1"),
    ("KOGL Type 4", "LicenseRef-KOGL-4"),
    ("odc-by", "ODC-By-1.0"),
    ("Perl", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
]
EXPRESSIONS = [
    ("GPL-2+ or Artistic, and Expat", "(GPL-2.0-or-later OR Artistic-1.0-Perl) AND MIT"),
    ("MIT OR Apache-2.0", "MIT OR Apache-2.0"),
    ("MIT/Apache-2.0", "MIT OR Apache-2.0"),
    ("PD-or-CC0-1.0", "LicenseRef-public-domain OR CC0-1.0"),
    ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
    ("GPL-3+-autoconf-exception", "GPL-3.0-or-later WITH Autoconf-exception-generic"),
    ("(MIT or ISC) and Zlib", "(MIT OR ISC) AND Zlib"),
    ("CC-BY-4.0; purpose: improvement", "CC-BY-4.0"),
    ("own; purpose: improvement", "own"),
    ("LicenseRef-deal-news", "LicenseRef-deal-news"),
    ("terms-2026-03", "terms-2026-03"),
]


@pytest.mark.parametrize(("said", "meant"), NAMES)
def test_a_name_is_known_however_it_is_spelt(said: str, meant: str) -> None:
    assert licence_id(said) == meant
    assert expression(said) == meant
    assert expression(f"  {said.upper() if said.isascii() else said} ") == meant


@pytest.mark.parametrize(("said", "meant"), EXPRESSIONS)
def test_expressions_and_those_of_debian(said: str, meant: str) -> None:
    assert expression(said) == meant


@pytest.mark.parametrize(
    "said", ["", "  ", "(MIT", "MIT AND", "AND", "MIT MIT", "see LICENSE file", "x" * 3000, "MIT (", "한국어"]
)
def test_words_are_no_expression(said: str) -> None:
    assert expression(said) is None


@pytest.mark.parametrize(
    "said", ["GPL-4", "GPL-2.5+", "GPLX", "CC-BY-9.0", "MIT-like", "Apache-like", "BSDish", "MITx"]
)
def test_what_resembles_a_licence_is_not_one(said: str) -> None:
    assert licence_id(said) is None


PARTS = st.sampled_from([meant for _, meant in NAMES[:20]] + ["own", "LicenseRef-a.b"])


@given(
    st.recursive(
        PARTS,
        lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
        max_leaves=6,
    )
)
def test_an_expression_stays_itself(said: str) -> None:
    once = expression(said)
    assert once is not None
    assert expression(once) == once


@given(st.text(max_size=80))
def test_any_text_is_an_expression_or_none(said: str) -> None:
    found = expression(said)
    assert found is None or expression(found) is not None
