"""Labels that look like slips of the hand are named; what merely looks alike is not."""

from __future__ import annotations

import pytest

from bapsim.wheel.slips import slips_of


@pytest.mark.parametrize("slip", ["요쳥", "요청ㅇ", "Refnud", "refun", "refunds", "REFUND", "no_fund"])
def test_a_rare_label_one_letter_away_is_a_slip(slip: str) -> None:
    classes = {"요청": 200, "refund": 90, "nofund": 40, slip: 2}
    assert slips_of(classes) == {slip: 2}


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        ({"line 1": 300, "line 2": 2}, set()),
        ({"요청": 200, "요쳥": 4}, set()),
        ({"배": 200, "뱀": 1, "aab": 50, "aac": 1}, set()),
        ({"refund": 29, "refond": 1}, set()),
        ({"refund": 100, "refinds": 1, "": 1, "없음": 3}, {"없음"}),
        ({}, set()),
    ],
)
def test_other_labels_are_classes(classes: dict[str, int], found: set[str]) -> None:
    assert set(slips_of(classes)) == found
