"""Rules in words: matched exactly, read from plain sentences, said so that they are read back."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError, messages
from bapsim.text.normalise import fold
from bapsim.text.rule_words import alike, read_rule, say_rule
from bapsim.text.rules import Fit, Rule, fit_of, folded, found_in, holding, matching, rule_of, share

HANGUL = re.compile("[가-힣ㄱ-ㅣ]")


def slowly(term: str, said: str) -> bool:
    """The definition, letter by letter: a Latin or Greek letter or digit must not go on at the edges."""

    def goes_on(letter: str) -> bool:
        word = unicodedata.category(letter)[0] in "LMN"
        return word and not HANGUL.match(letter) and not "\u4e00" <= letter <= "\u9fff"

    at = said.find(term)
    while at >= 0:
        before, after = said[at - 1 : at], said[at + len(term) : at + len(term) + 1]
        left = not (before and goes_on(before) and goes_on(term[0]))
        right = not (after and goes_on(after) and goes_on(term[-1]))
        if left and right:
            return True
        at = said.find(term, at + 1)
    return False


def about(rule: Rule, *texts: str) -> list[bool]:
    return matching(rule, folded(list(texts))).tolist()


SAID = st.lists(
    st.sampled_from(
        ["환불", "카드", "가", "를", "card", "ard", "c", "7", " ", " ", "-", "é", "Σ", "在", "x."]
    ),
    max_size=12,
).map("".join)
TERMS = st.lists(
    st.sampled_from(["환불", "카드", "card", "ard", "7", "é", "card 7", "카드 환불", "c-c", "在", "가"]),
    max_size=3,
)


@given(st.lists(SAID, max_size=6), TERMS, TERMS, TERMS)
@settings(max_examples=300)
def test_a_rule_is_about_what_its_definition_says(texts, every, some, none):
    if not [*every, *some, *none]:
        return
    rule = Rule(all=tuple(every), any=tuple(some), none=tuple(none))
    plain = fold(texts).strings()
    wanted = [
        all(slowly(t, said) for t in rule.all)
        and (not rule.any or any(slowly(t, said) for t in rule.any))
        and not any(slowly(t, said) for t in rule.none)
        for said in plain
    ]
    assert about(rule, *texts) == wanted


@given(st.lists(SAID, min_size=1, max_size=6), TERMS, st.sampled_from(["환불", "card", "在"]))
def test_a_longer_rule_is_about_less_and_another_choice_about_more(texts, every, term):
    rule = Rule(all=("가",), any=("환불", "7"), none=tuple(every))
    here = matching(rule, folded(texts))
    more = matching(Rule(all=("가", term), any=rule.any, none=rule.none), folded(texts))
    either = matching(Rule(all=rule.all, any=(*rule.any, term), none=rule.none), folded(texts))
    banned = matching(Rule(all=rule.all, any=rule.any, none=(*rule.none, term)), folded(texts))
    assert not (more & ~here).any()
    assert not (here & ~either).any()
    assert (banned == (here & ~holding(fold([term]).strings()[0], folded(texts)))).all()


@given(SAID, st.sampled_from(["NFC", "NFD", "NFKC"]), st.booleans())
def test_spelling_is_no_difference(said, form, upper):
    rule = Rule(any=("환불", "é card", "card", "σ"))
    other = unicodedata.normalize(form, said)
    assert about(rule, said) == about(rule, other.upper() if upper and "ß" not in other else other)


def test_edges_between_texts_and_words():
    assert about(Rule(all=("end of",)), "the end", "of it", "end of") == [False, False, True]
    assert about(Rule(all=("card",)), "card", "discard", "cards", "card가", "앱card", "(card)", "card1") == [
        True, False, False, True, True, True, False,
    ]  # fmt: skip
    assert about(Rule(all=("환불",)), "환불해 주세요", "재환불", "환 불", "") == [True, True, False, False]
    assert about(Rule(none=("카드",)), "카드", "환불", "") == [False, True, True]
    assert about(Rule(all=("ab ab",)), "xab ab ab") == [True]  # the second of two that overlap
    assert about(Rule(all=("ＦＵＬＬ",)), "a full moon", "fully") == [True, False]


def test_texts_may_be_empty_huge_or_broken():
    assert matching(Rule(all=("a",)), folded([])).tolist() == []
    texts = [None, "a" * 70_000, "\ud800 a", "a\0a", "a" + " b" * 50_000]
    assert matching(Rule(all=("a",)), folded(texts)).tolist() == [False, False, True, True, True]


def test_a_rule_without_a_use_is_refused():
    for terms in ((), ("",), (" ",), ("!!",), tuple(f"w{i}" for i in range(25)), ("x" * 121,)):
        with pytest.raises(InputError):
            Rule(all=terms)
    for said in (
        None,
        [],
        "환불",
        {"all": "환불"},
        {"all": [1]},
        {"every": ["환불"]},
        {"all": [], "any": []},
    ):
        with pytest.raises(InputError):
            rule_of(said)
    assert rule_of({"all": ["환불"], "any": None}) == Rule(all=("환불",))
    assert rule_of(Rule(any=("a", "B")).json()) == Rule(any=("a", "b"))
    assert Rule(any=("refund",)) == Rule(all=("refund",))


def test_found_in_names_what_a_page_marks():
    assert list(found_in(Rule(any=("환불", "card"), none=("대출",)), "Card 환불을")) == ["환불", "card"]


def test_fit_counts_what_is_known():
    matched = np.array([True, True, True, False, True])
    fit = fit_of(matched, ["a", "b", None, "a", "a"], "a")
    assert fit == Fit(rows=4, matched=3, right=2, labelled=3)
    assert fit.coverage == 0.75
    mean, low, high = fit.precision
    assert mean == pytest.approx(2 / 3)
    assert (low, high) == pytest.approx((0.2077, 0.9385), abs=1e-4)  # Wilson's, by hand
    assert share(0, 0) == (0.0, 0.0, 1.0)
    assert Fit(0, 0, 0, 0).json()["precision"] == {"share": 0.0, "low": 0.0, "high": 1.0}


@given(st.integers(0, 50), st.integers(0, 50))
def test_intervals_hold_the_share(right, wrong):
    mean, low, high = share(right, right + wrong)
    assert 0 <= low <= mean <= high <= 1


SENTENCES = {
    "contains 'refund' and not 'card'": (["refund"], [], ["card"], ""),
    "환불이 있고 카드가 없으면": (["환불"], [], ["카드"], ""),
    "환불이 있고 카드가 없으면 refund": (["환불"], [], ["카드"], "refund"),
    "if it mentions refund or money back, then it is refund": ([], ["refund", "money back"], [], "refund"),
    "refund and (card or account)": (["refund"], ["card", "account"], [], ""),
    "환불 또는 취소가 있으면 취소": ([], ["환불", "취소"], [], "취소"),
    "카드는 없고 환불만 있으면": (["환불"], [], ["카드"], ""),
    "'환불' 포함, '카드' 제외": (["환불"], [], ["카드"], ""),
    "+refund -card": (["refund"], [], ["card"], ""),
    "refund without card or account": (["refund"], [], ["card", "account"], ""),
    "환불이나 취소가 있으면": ([], ["환불", "취소"], [], ""),
    "환불과 취소가 있고 카드가 들어 있지 않으면": (["환불", "취소"], [], ["카드"], ""),
    "환불이라는 말이 나오고 카드는 안 나오면": (["환불"], [], ["카드"], ""),
    "refund가 있고 card가 없을 때 반품": (["refund"], [], ["card"], "반품"),
    "카드 분실이 있으면": (["카드 분실"], [], [], ""),
    "결과가 있으면": (["결과"], [], [], ""),
    "아이가 있으면 육아": (["아이"], [], [], "육아"),
    "lost card": (["lost card"], [], [], ""),
    "환불있고 카드없으면 반품": (["환불"], [], ["카드"], "반품"),
    "contains refund but doesn't mention card or loan": (["refund"], [], ["card", "loan"], ""),
    "neither card nor account but refund": (["refund"], [], ["card", "account"], ""),
    "환불이 없지 않으면": (["환불"], [], [], ""),
    "환불이 있거나 취소가 있으면": ([], ["환불", "취소"], [], ""),
    "환불, 취소, 반품 중 하나라도 있으면": ([], ["환불", "취소", "반품"], [], ""),
    "‘카드’와 ‘분실’이 모두 있으면": (["카드", "분실"], [], [], ""),
    "보이스피싱이 있으면": (["보이스피싱"], [], [], ""),
    "refund -> refund_status": (["refund"], [], [], "refund_status"),
    "“don't” and “won’t”": (["don't", "won't"], [], [], ""),
}


@pytest.mark.parametrize("said", SENTENCES)
def test_sentences_are_read(said):
    every, some, none, rest = SENTENCES[said]
    got = read_rule(said)
    assert got.rule == Rule(all=tuple(every), any=tuple(some), none=tuple(none))
    assert (got.why, got.rest) == (None, rest)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "no_term"),
        ("and or not", "no_term"),
        ("있으면", "term_or_no"),
        ('""', "term"),
        ("(x or y) and (z or w)", "two_choices"),
        ("x or not y", "mixed_choice"),
        ("!!!", "no_term"),
    ],
)
def test_what_cannot_be_a_rule_says_why(said, why):
    got = read_rule(said)
    if why == "term_or_no":  # a lone predicate is taken for a word: shown to whoever said it
        assert got.rule is not None or got.why == "no_term"
    else:
        assert got.rule is None
        assert got.why == why


@given(st.text(max_size=200))
@settings(max_examples=300)
def test_whatever_is_written_is_read_or_refused(said):
    got = read_rule(said)
    assert (got.rule is None) == (got.why is not None)


WORDS = st.one_of(
    st.sampled_from(
        ["환불", "카드 분실", "not", "and", "없으면", "don't", "또는", "‘카드’", "3일", "card-less"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=8),
)


@given(*[st.lists(WORDS, max_size=3)] * 3, st.sampled_from(["ko", "en"]))
@settings(max_examples=300)
def test_what_is_said_is_read_back(every, some, none, lang):
    try:
        rule = Rule(all=tuple(every), any=tuple(some), none=tuple(none))
    except InputError:
        return
    marks = ("‘’", "“”", "「」", "``")
    if any(all(set(pair) & set(term) for pair in marks) for term in rule.terms):
        return  # a term with marks of every kind cannot be put between any
    assert read_rule(say_rule(rule, lang)).rule == rule


def test_alike_knows_no_order():
    assert alike(Rule(any=("a", "b")), Rule(any=("b", "a")))
    assert not alike(Rule(any=("a", "b")), Rule(all=("a", "b")))


def test_a_long_sentence_costs_no_time():
    assert read_rule("환불이 " * 100_000).rule == Rule(all=("환불",))
    assert read_rule(" ".join(f"w{i}," for i in range(100_000))).why == "term"
    assert read_rule("'" * 5_000).rule is None


def test_both_languages_say_every_part():
    assert all({"en", "ko"} <= set(said) for key, said in messages().items() if key.startswith("rule."))
