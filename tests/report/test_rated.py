"""Who is right, on a turn's page: intervals everywhere, in both languages, nothing where nobody voted."""

import re

import pytest

from bapsim.raters.reliability import Said, reliability
from bapsim.report.rated import HEAD, raters
from bapsim.wheel.rating import _person, _plain, agreement


def told(items: int, shared: bool) -> dict[str, object]:
    """Three people; two make the same mistakes on every third item, or none is made."""
    said = []
    for i in range(items):
        for who in ("p-a", "p-b", "p-c"):
            label = "y" if shared and who != "p-a" and i % 3 == 0 else "x"
            said.append(Said(person=who, item=f"g{i}", label=label, blind="gold", confidence=0.9))
            said.append(Said(person=who, item=f"w{i}", label=label, peers=0.8))
    said.append(Said(person="p-d", item="w0", label=None))
    panel = reliability(said, {f"g{i}": "x" for i in range(items)})
    names = ("independent", "pairs", "expected", "p", "items")
    return {
        "people": [_person(one) for one in panel.people.values()],
        "agreement": _plain(agreement(said)),
        "shared": {name: getattr(panel.mistakes, name) for name in names},
        "surprising": ["w0"],
    }


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("shared", [True, False])
def test_every_share_has_its_interval(lang: str, shared: bool) -> None:
    found = raters({"raters": told(30, shared)}, lang)
    assert found is not None
    assert len(found["head"]) == len(HEAD)
    rows = {row[0]: row for row in found["rows"]}
    assert list(rows) == ["p-a", "p-b", "p-c", "p-d"]
    for row in found["rows"]:
        assert len(row) == len(HEAD)
        for cell in row[2:7]:
            assert cell == "–" or re.search(r"% \(\d+–\d+", cell), cell
    assert rows["p-a"][2].startswith("100% (")
    assert rows["p-b"][2].startswith("67% (" if shared else "100% (")
    assert set(rows["p-d"][2:8]) == {"–"}
    told_ = " ".join(found["notes"])
    assert "p-a" not in told_ or shared
    words = {"en": ("are shared", "are not shared"), "ko": ("같은 실수를", "서로 무관")}[lang]
    assert (words[0] if shared else words[1]) in told_


def test_nothing_of_nobody() -> None:
    assert raters({}, "en") is None
    assert raters({"raters": {}}, "en") is None
    few = raters({"raters": told(3, False)}, "en")
    assert few is not None
    assert any("too few" in note for note in few["notes"])
