"""What licences permit: a choice permits what one part does, a sum what all do, and the unknown nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_license_index

from bapsim.text.licence_uses import CONDITIONS, USES, Wanted, against, family_of, worst
from bapsim.text.spdx import expression, table

SAMPLE = [
    "MIT",
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-ND-4.0",
    "GPL-3.0-only",
    "ODbL-1.0",
    "CDLA-Sharing-1.0",
    "BUSL-1.1",
    "own",
    "LicenseRef-deal-x",
    "never-heard-of-it",
]
RANK = {None: 0, "share_alike": 1, "licence_forbids": 2, "licence_unknown": 2}
licences = st.sampled_from(SAMPLE)
wishes = st.builds(
    Wanted,
    uses=st.lists(st.sampled_from(USES), min_size=1, unique=True).map(tuple),
    commercial=st.booleans(),
    accept=st.sampled_from([frozenset(), frozenset({"share-alike"})]),
)

VERDICTS = [
    ("MIT", ("train", "publish_weights"), True, None),
    ("CC-BY-NC-4.0", ("train",), True, "licence_forbids"),
    ("CC-BY-NC-4.0", ("train",), False, None),
    ("CC-BY-SA-4.0", ("train",), True, None),
    ("CC-BY-SA-4.0", ("train", "publish_weights"), True, "share_alike"),
    ("CC-BY-ND-4.0", ("train",), True, None),
    ("CC-BY-ND-4.0", ("synthesise",), True, "licence_forbids"),
    ("CDLA-Permissive-2.0", ("publish_weights",), True, None),
    ("CDLA-Sharing-1.0", ("publish_weights",), True, None),
    ("CDLA-Sharing-1.0", ("publish_text",), True, "share_alike"),
    ("ODbL-1.0", ("publish_weights",), True, None),
    ("GPL-2+ or Artistic", ("ship_edge",), True, "share_alike"),
    ("GPL-2.0-only WITH Classpath-exception-2.0", ("train",), True, None),
    ("BUSL-1.1", ("train",), True, "licence_forbids"),
    ("all rights reserved", ("train",), True, "licence_forbids"),
    ("공공누리 제4유형", ("train",), True, "licence_forbids"),
    ("unknown", ("train",), True, "licence_unknown"),
    ("", ("train",), True, "licence_unknown"),
    ("none-stated", ("train",), False, "licence_unknown"),
    ("own; purpose: improvement", ("train",), True, None),
    ("3D-Slicer-1.0", ("train",), True, None),  # by its category alone
    ("MIT AND CC-BY-NC-4.0", ("train",), True, "licence_forbids"),
    ("never-heard-of-it OR MIT", ("train",), True, None),
]


@pytest.mark.parametrize(("said", "uses", "commercial", "reason"), VERDICTS)
def test_what_is_permitted(said: str, uses: tuple[str, ...], commercial: bool, reason: str | None) -> None:
    assert against(said, Wanted(uses=uses, commercial=commercial)) == reason


def test_what_a_recipe_takes_and_what_it_does_not() -> None:
    assert against("terms-2026", Wanted()) == "licence_unknown"
    assert against("terms-2026; purpose: a", Wanted(accept=frozenset({"terms-2026"}))) is None
    assert against("a notice (long)", Wanted(accept=frozenset({"a notice (long)"}))) is None
    assert against("CC-BY-NC-4.0", Wanted(accept=frozenset({"CC-BY-NC-4.0"}))) is None
    for refused in ("MIT", "notice"):
        assert (
            against("MIT", Wanted(uses=("publish_text",), refuse=frozenset({refused}))) == "licence_forbids"
        )
    assert against("GPL-3.0-only", Wanted(refuse=frozenset({"copyleft"}))) == "licence_forbids"
    assert against("GPL-3.0-only OR MIT", Wanted(refuse=frozenset({"copyleft"}))) is None
    assert worst([]) is None
    assert worst([None, "share_alike", "licence_unknown"]) == "licence_unknown"


@given(licences, licences, wishes)
def test_a_choice_permits_what_one_does_and_a_sum_what_both_do(a: str, b: str, wanted: Wanted) -> None:
    alone = [RANK[against(one, wanted)] for one in (a, b)]
    assert RANK[against(f"{a} OR {b}", wanted)] == min(alone)
    assert RANK[against(f"{a} AND {b}", wanted)] == max(alone)


@given(licences, wishes, st.sampled_from(USES))
def test_more_uses_are_never_easier_and_more_terms_taken_never_harder(
    a: str, wanted: Wanted, use: str
) -> None:
    more = Wanted(uses=tuple({*wanted.uses, use}), commercial=wanted.commercial, accept=wanted.accept)
    assert RANK[against(a, more)] >= RANK[against(a, wanted)]
    taken = Wanted(uses=wanted.uses, commercial=wanted.commercial, accept=wanted.accept | {a, "share-alike"})
    assert against(a, taken) is None
    free = Wanted(uses=wanted.uses, commercial=False, accept=wanted.accept)
    assert RANK[against(a, free)] <= RANK[against(a, wanted)]


def test_the_table_is_sound() -> None:
    known = {str(one.get("spdx_license_key")) for one in get_license_index()}
    families = table()["families"]
    for name, family in families.items():
        assert family["why"], name
        assert family["source"].startswith("https://"), name
        assert set(family["uses"]) <= set(USES), name
        assert {one for use in family["uses"].values() for one in use} <= set(CONDITIONS), name
    for licence, family in table()["ids"].items():
        assert family in families
        assert licence.startswith("LicenseRef-") or licence in known, licence
        assert expression(licence) == licence
    assert set(table()["categories"].values()) <= set(families)
    for name, meant in table()["aliases"].items():
        assert expression(meant) == meant, name
    assert family_of("Classpath-exception-2.0") is None, "an exception is no licence"
