"""Licences in texts: their words, headers, pointers and tags; hostile texts take no longer than long ones."""

import importlib
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.dep5 import dep5
from bapsim.text.licence_texts import LIMIT, licences
from bapsim.text.spdx import expression

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
bench = importlib.import_module("licences")
sys.path.pop(0)

GPL = """This program is free software; you can redistribute it and/or modify it under the terms of the GNU
General Public License as published by the Free Software Foundation; either version 2 of the License, or
(at your option) any later version.

You should have received a copy of the GNU General Public License along with this program.
On Debian systems the full text can be found in /usr/share/common-licenses/GPL-3."""
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction [...]
The above copyright notice and this permission notice shall be included in all copies."""
BSD = """Redistribution and use in source and binary forms, with or without modification, are permitted:
1. Redistributions of source code must retain the above copyright notice.
2. Redistributions in binary form must reproduce the above copyright notice."""
SAYS = [
    ("SPDX-License-Identifier: GPL-2.0-only OR MIT */", ("GPL-2.0-only OR MIT",)),
    ("<!-- SPDX-License-Identifier: CC-BY-4.0 -->", ("CC-BY-4.0",)),
    (GPL, ("GPL-2.0-or-later",)),
    (re.sub("^", " * ", GPL, flags=re.M), ("GPL-2.0-or-later",)),
    (GPL.replace(", or\n(at your option) any later version", ""), ("GPL-2.0-only",)),
    (GPL.replace("General", "Lesser General"), ("LGPL-2.0-or-later",)),
    ("Released under the GNU GPL version 3.", ("GPL-3.0-only",)),
    ("Licensed under GPLv2+.", ("GPL-2.0-or-later",)),
    ("See /usr/share/common-licenses/GPL-3.", ("GPL-3.0-or-later",)),
    ("under the same terms as Perl itself", ("Artistic-1.0-Perl", "GPL-1.0-or-later")),
    (MIT, ("MIT",)),
    (
        MIT + " Except as contained in this notice, the name of the X Consortium shall not be used in "
        "advertising or otherwise to promote the sale, use or other dealings",
        ("X11",),
    ),
    (BSD, ("BSD-2-Clause",)),
    (BSD + " 3. Neither the name of X may be used to endorse or promote products.", ("BSD-3-Clause",)),
    ('Licensed under the Apache License, Version 2.0 (the "License")', ("Apache-2.0",)),
    ("This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.", ("MPL-2.0",)),
    (
        "This work is licensed under a Creative Commons Attribution-ShareAlike 4.0 International License.",
        ("CC-BY-SA-4.0",),
    ),
    ("License: [CC BY-NC 4.0](https://creativecommons.org/licenses/by-nc/4.0/)", ("CC-BY-NC-4.0",)),
    ("Written by Colin Plumb; this code is in the public domain.", ("LicenseRef-public-domain",)),
    ("본 저작물은 공공누리 제1유형에 따라 이용할 수 있습니다.", ("LicenseRef-KOGL-1",)),
    (
        "Commons Clause License Condition v1.0. The Software is provided under the Apache License 2.0",
        ("Apache-2.0", "LicenseRef-Commons-Clause"),
    ),
]
SILENT = [
    "",
    "a text about nothing in particular",
    "GPL-compatible software is not required",
    "the license of the driver had expired, said the police",
    "As a special exception to the GNU General Public License, you may do as you like.",
]


@pytest.mark.parametrize(("text", "found"), SAYS)
def test_a_text_states_its_licence(text: str, found: tuple[str, ...]) -> None:
    assert licences(text) == found
    assert licences("\n\n" + text.replace("\n", "\r\n") + "\n") == found


@pytest.mark.parametrize("text", SILENT)
def test_a_text_that_states_none(text: str) -> None:
    assert licences(text) == ()


def test_what_a_whole_text_mentions_is_not_granted() -> None:
    words = (
        "Creative Commons Attribution 4.0 International Public License. By exercising the Licensed Rights "
    )
    assert licences(
        words + "(...) dedicated to the public domain under the CC0 1.0 Universal dedication"
    ) == ("CC-BY-4.0",)
    whole = "Eclipse Public License - v 2.0"
    assert licences(f"{whole}\n{MIT}") == ("EPL-2.0", "MIT"), "two texts in one file"


def test_paragraphs_of_a_dep5_file_are_texts_of_their_own() -> None:
    text = f"Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\n {BSD}"
    other = " Neither the name of X may be used to endorse or promote products."
    assert licences(f"{text}\n\n{other}") == ("BSD-2-Clause",)


@pytest.mark.parametrize(
    "part",
    [
        "gnu general public license version 2 or later ",
        "cecill version 2.1 ",
        "cc by nc nc sa ",
        "gpl ",
        "¶ gpl ",
        "permission is hereby granted free of charge to any person obtaining ",
        "(" * 40 + " ",
        "# ",
        "\n.\n",
        "SPDX-License-Identifier: (((((MIT ",
        "creative commons attribution " + "license " * 9,
        "\0\ufeff漢",
    ],
)
def test_a_hostile_text_takes_no_longer_than_a_long_one(part: str) -> None:
    began = time.perf_counter()
    licences(part * (2 * LIMIT // len(part)))
    assert time.perf_counter() - began < 6


@given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    for one in licences(text):
        assert expression(one) == one


def test_licences_of_debian_are_found_without_their_names(data: Path) -> None:
    docs = bench.documents(data)
    assert len(docs) > 200
    counts = [bench.counted(one["names"], list(licences(one["text"])), "words") for one in docs]
    assert bench.f1(np.array(counts)) >= 0.95


# ---------------------------------------------------------------- DEP-5

FILE = f"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 A
License: GPL-2+ or Artistic, and Expat

Files: data/*.csv docs/ex?mple.txt
 data/odd\\*name
Copyright: 2020 B
License: CC-BY-4.0

Files: vendor/*
License: ours
 {BSD.replace(chr(10), chr(10) + " ")}

Files: other/*
License: theirs

License: theirs
 {MIT.replace(chr(10), chr(10) + " ")}

Files: nobody/*
License: NobodyKnows
"""


@pytest.mark.parametrize(
    ("path", "licence"),
    [
        ("main.c", "(GPL-2.0-or-later OR Artistic-1.0-Perl) AND MIT"),
        ("data/a/b.csv", "CC-BY-4.0"),
        ("docs/example.txt", "CC-BY-4.0"),
        ("docs/exmple.txt", "(GPL-2.0-or-later OR Artistic-1.0-Perl) AND MIT"),
        ("data/odd*name", "CC-BY-4.0"),
        ("data/oddname", "(GPL-2.0-or-later OR Artistic-1.0-Perl) AND MIT"),
        ("vendor/x/y.c", "BSD-2-Clause"),
        ("other/z", "MIT"),
        ("nobody/z", "NobodyKnows"),
    ],
)
def test_the_last_pattern_that_matches_a_path_stands_for_it(path: str, licence: str) -> None:
    assert dep5(FILE).licence_of(path) == licence
    assert dep5(FILE.replace("\n", "\r\n")).licence_of(path) == licence


@given(st.text(max_size=300), st.text(max_size=30))
def test_any_copyright_file_can_be_read(text: str, path: str) -> None:
    dep5(f"Files: {path}\nLicense: {text}\n").licence_of(path)
    dep5(text).licence_of(path)


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    began = time.perf_counter()
    assert dep5(f"Files: {'*a' * 400}\nLicense: MIT\n").licence_of("a" * 4000 + "b") is None
    assert time.perf_counter() - began < 2
