"""Words that tell texts apart, and the rule that they suggest."""

import numpy as np

from bapsim.text.rules import fit_of, folded, matching
from bapsim.text.telling import suggestion, telling

TEXTS = [f"환불을 원해요 {i}번" for i in range(12)] + [f"카드로 환불이 되나요 {i}번" for i in range(12)]
TEXTS += [f"my card is lost {i}" for i in range(12)] + [f"the loan of {i} is late" for i in range(12)]
KIND = np.repeat(["refund", "card_refund", "card", "loan"], 12).astype(object)


def side(name):
    return name == KIND


def test_words_of_korean_are_what_they_begin_with():
    found = telling(folded(TEXTS), side("card_refund"), side("refund"))
    assert {"카드", "되나"} & {one.term for one in found}
    assert all(one.mine > one.others for one in found)


def test_a_suggested_rule_is_right_and_short():
    rule = suggestion(folded(TEXTS), side("refund"), side("card_refund"), ~side("refund"))
    assert rule is not None
    fit = fit_of(matching(rule, folded(TEXTS)), KIND, "refund")
    assert fit.right == fit.matched == 12
    assert len(rule.terms) <= 4
    again = suggestion(folded(TEXTS), side("refund"), side("card_refund"), ~side("refund"))
    assert rule == again


def test_an_exclusion_is_found_where_words_are_shared():
    texts = [f"refund {i} please" for i in range(30)] + [f"refund {i} please to my card" for i in range(30)]
    mine = np.arange(60) < 30
    rule = suggestion(folded(texts), mine, ~mine, ~mine)
    assert rule is not None
    assert rule.none
    assert (matching(rule, folded(texts)) == mine).all()
    assert len(rule.terms) == 2  # what a later term made needless is gone


def test_nothing_is_suggested_where_nothing_tells():
    same = ["the very same words"] * 20
    half = np.arange(20) < 10
    assert suggestion(folded(same), half, ~half, ~half) is None
    assert telling(folded(same), half, ~half) == []
    none = np.zeros(20, bool)
    assert telling(folded(same), none, half) == []
    assert suggestion(folded(same), none, half, half) is None
    few = ["alpha one", "alpha two", "beta", "gamma"]
    assert (
        suggestion(folded(few), np.array([1, 1, 0, 0], bool), np.array([0, 0, 1, 1], bool), ~half[:4]) is None
    )


def test_nobodys_name_tells_anything():
    texts = [f"고객 정수빈 님 해지 요청 {i} 010-1234-{i:04}" for i in range(30)]
    texts += [f"고객 정수빈 님 지급 요청 {i} 010-1234-{i:04}" for i in range(10)] + [
        f"지급 문의 {i}" for i in range(20)
    ]
    mine = np.arange(60) < 30
    found = [one.term for one in telling(folded(texts), mine, ~mine, 40)]
    assert "해지" in found
    assert not [one for one in found if one in "정수빈" or one.isdigit() or "name" in one]
    rule = suggestion(folded(texts), mine, ~mine, ~mine)
    assert rule is not None
    assert not {"정수", "정수빈"} & set(rule.terms)
