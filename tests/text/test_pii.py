"""Personal data with a form: what is found, where exactly, what is left alone, what hostile text costs."""

import random
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import RecipeError
from bapsim.text import pii
from bapsim.text.pii import KINDS, counts, find, known_kinds, masked, scrub


def found(text: str, *kinds: str) -> list[tuple[str, str]]:
    spans = find([text], kinds or KINDS)
    places = zip(spans.kinds.tolist(), spans.starts.tolist(), spans.ends.tolist(), strict=True)
    return [(KINDS[kind], text[start:end]) for kind, start, end in places]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("email", "minsu12@naver.com"),
        ("email", "a.b+c_d%e-f@sub.example.co.kr"),
        ("email", "José@example.com"),
        ("email", unicodedata.normalize("NFD", "josé@example.com")),
        ("email", "hong@한국.한국"),
        ("email", "x@xn--9n2bp8q.xn--3e0b707e"),
        ("email", "minsu12(at)naver.com"),
        ("email", "minsu12 [AT] naver.com"),
        ("email", "minsu12 골뱅이 naver.com"),
        ("email", "minsu12 @ naver.com"),
        ("email", "ｍｉｎｓｕ＠ｎａｖｅｒ．ｃｏｍ"),
        ("email", "min\u200bsu@naver\u2060.com"),
        ("email", "01012345678@naver.com"),  # the earlier kind stands
        ("phone", "010-1234-5678"),
        ("phone", "01012345678"),
        ("phone", "010.1234.5678"),
        ("phone", "010 1234 5678"),
        ("phone", "010 - 1234 - 5678"),
        ("phone", "010)1234-5678"),
        ("phone", "(010) 1234-5678"),
        ("phone", "010-1234.5678"),
        ("phone", "010ㅡ1234ㅡ5678"),
        ("phone", "010·1234·5678"),
        ("phone", "010–1234—5678"),
        ("phone", "010 12 34 56 78"),
        ("phone", "０１０－１２３４－５６７８"),
        ("phone", "٠١٠-١٢٣٤-٥٦٧٨"),
        ("phone", "0️⃣1️⃣0️⃣-1234-5678"),
        ("phone", "0\u200b10\u200d-12\u00ad34-56\ufeff78"),
        ("phone", "010 \u200b1234ㅡ\u200b\u206056\u200c\u200c78"),
        ("phone", "+82 10-1234-5678"),
        ("phone", "0490 75 40 81"),
        ("phone", "079 2718 1155"),
        ("resident", "460-89-9847"),
        ("phone", "+821012345678"),
        ("phone", "+82-(0)10-1234-5678"),
        ("phone", "(+82)10-1234-5678"),
        ("phone", "0082 10 1234 5678"),
        ("phone", "82-2-123-4567"),
        ("phone", "821012345678"),
        ("phone", "011-234-5678"),
        ("phone", "02-123-4567"),
        ("phone", "02)1234-5678"),
        ("phone", "0212345678"),
        ("phone", "031 123 4567"),
        ("phone", "064.1234.5678"),
        ("phone", "070-1234-5678"),
        ("phone", "0507-1234-5678"),
        ("phone", "080-123-4567"),
        ("phone", "1588-1234"),
        ("phone", "1899 1234"),
        ("phone", "1644.1234"),
        ("phone", "+1 541 714 1388"),
        ("phone", "+44 20 7946 0958"),
        ("phone", "+49 (0)30 1234567"),
        ("phone", "0049 30 1234567"),
        ("phone", "+4915123456789"),
        ("phone", "(541) 714-1388"),
        ("phone", "541.714.1388"),
        ("phone", "1-541-714-1388"),
        ("resident", "900101-1234568"),
        ("resident", "900101 - 1234568"),
        ("resident", "9001011234568"),
        ("resident", "900101 1234568"),
        ("resident", "90.01.01-1234568"),
        ("resident", "９００１０１-１２３４５６８"),
        ("resident", "201001-3000000"),  # born since the numbers are random
        ("resident", "850315-5123456"),  # a foreigner: numbered anew, at random
        ("card", "4111-1111-1111-1111"),
        ("card", "4111 1111 1111 1111"),
        ("card", "4111111111111111"),
        ("card", "5555.5555.5555.4444"),
        ("card", "2223-0031-2200-3222"),
        ("card", "3782 822463 10005"),
        ("card", "30569309025904"),
        ("card", "6011 1111 1111 1117"),
        ("card", "3530111333300000"),
        ("card", "6200 0000 0000 0005"),
        ("card", "9490-1234-5678-9013"),  # Korean only
        ("card", "4000-0000-0000-0000-006"),
        ("ip", "192.168.0.1"),
        ("ip", "203.0.113.77"),
        ("ip", "2001:db8::1"),
        ("ip", "fe80::1ff:fe23:4567:890a"),
        ("ip", "2001:0DB8:85A3:0000:0000:8A2E:0370:7334"),
        ("ip", "::ffff:192.0.2.128"),
        ("ip", "dead:beef:cafe:face::abcd"),
    ],
)
def test_what_is_found_to_the_sign(kind: str, said: str) -> None:
    for before, after in (
        ("", ""),
        ("문의는 ", "로 해 주세요."),
        ("", "/") if ")" in said else ("(", ")"),
        ("A: ", ", thanks"),
        ("제", "입니다"),
    ):
        text = f"{before}{said}{after}"
        assert found(text) == [(kind, said)], text
        assert masked([text], find([text])) == [f"{before}[{kind.upper()}]{after}"]
    decomposed = unicodedata.normalize("NFD", "로 연락")
    assert found(f"{said}{decomposed}") == [(kind, said)]
    assert found(said, kind) == [(kind, said)]
    assert found(said, *(k for k in KINDS if k not in (kind, "phone" if said[0] == "0" else kind))) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2015년 10월 11일 오후 3:30:45에 1,234,567원",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "a@b, @someone, icon@2x.png, getty@tty1.service, foo@bar",
        "version 10.2.3.4, v1.2.3.4, libfoo-1.2.3.4, 1.2.3.4편, 1.2.3.4.5, 256.1.1.1, 127.0.0.1",
        "std::vec::a, a[1::3], ::1, ab::cd, 12:30:45, 00:1A:2B:3C:4D:5E",
        "4111-1111-1111-1112",  # no check digit
        "1234 5678 9012 3452",  # it has one, but nobody gave such numbers out
        "2230, 2001, 2015, 2004",
        "900101-1234567",  # no check digit, and born before they were random
        "991301-1234568, 990230-1234568, 990101-9234568, 500101-3234568",  # no such day, or not yet
        "2023-01-01 1234567",
        "Boston, MA 02110-1301",
        "3333-02-1234567, 110-234-567890, 352-0123-4567-83",  # accounts
        "(1588-1592), 1592-1598년, 1899 – 1902, $1800-1500, 1600-1360=240",
        "+10000000점, +99999999999, ++++",
        "hotel 1234567, call 2015-06-15, call me before 12/05/2015, 통화 1500000원",
        "0.01012345678, a01012345678f, 01012345678901, 123456010123456789",
        "0101111111, 0x0101010101",
        "010, 1234, 010-1234, 010-1234-567",
        "0018/1151127, 12500+21000-6300=27200",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("without", "cued"),
    [
        ("555-1234", "전화 555-1234"),
        ("15881234", "고객센터: 15881234"),
        ("900101-1234567", "주민번호는 900101-1234567"),
        ("8.8.8.8", "DNS 8.8.8.8"),
        ("4222222222222", "카드 4222222222222"),
        ("501800000009", "Maestro card 501800000009"),
        ("2101013123456", "외국인등록번호 2101013123456"),
        ("555-1234", unicodedata.normalize("NFD", "전화 ") + "555-1234"),
    ],
)
def test_weak_forms_need_a_word_before_them(without: str, cued: str) -> None:
    assert found(f"그냥 {without}") == []
    assert [said for _, said in found(cued)] == [without]
    assert found(cued.replace(without, f"3번 {without}")) == [], "with no number between"
    spans = find([cued.removesuffix(without), without])
    assert len(spans.texts) == 0, "a cue is not another text's"


def test_a_year_after_a_service_number_is_told_from_one() -> None:
    assert found("(1588-1592)") == found("1588-1600 년") == []
    assert found("1588-1592로 전화") == [("phone", "1588-1592")]


def test_an_order_number_is_told_from_a_resident_number() -> None:
    assert found("주문번호 230415-3123456") == found("order #230415-7123456") == []
    assert found("아이 230415-3123456") == [("resident", "230415-3123456")]
    assert found("번호 230415-5123456") == [], "a foreigner born in 1923"
    assert len(found("주문번호 900101-1234568")) == 1, "it has the check digit"


def test_a_label_is_no_part_of_an_address() -> None:
    for label in ("답장:", "IP:", "node:", "source:", "edge: ", "..."):
        assert found(f"{label}2001:db8::1로") == [("ip", "2001:db8::1")], label
        assert found(f"{label}::ffff:192.0.2.1로") == [("ip", "::ffff:192.0.2.1")], label


def test_several_in_one_text_and_many_texts() -> None:
    texts = [
        None,
        "minsu@naver.com, 010-1234-5678 / 02-123-4567",
        "",
        "깨끗한 문장",
        "4111 1111 1111 1111 123",
        "1234 4111 1111 1111 1111",
    ]
    spans = find(texts)
    assert spans.texts.tolist() == [1, 1, 1, 4, 5]
    assert [part.dtype for part in spans] == [np.int64] * 4
    assert counts(spans) == dict.fromkeys(KINDS, 0) | {"email": 1, "card": 2, "phone": 2}
    assert masked(texts, spans) == [
        None,
        "[EMAIL], [PHONE] / [PHONE]",
        "",
        "깨끗한 문장",
        "[CARD] 123",
        "1234 [CARD]",
    ]
    assert counts(find([])) == dict.fromkeys(KINDS, 0)
    assert masked([], find([])) == []


def test_an_unknown_kind_is_an_error() -> None:
    assert known_kinds(["phone", "email"]) == ("email", "phone")
    assert known_kinds("email") == ("email",)
    for kinds in (["shoe"], "mail", []):
        with pytest.raises(RecipeError) as caught:
            find(["x"], kinds)
        assert caught.value.key == "unknown_pii_kind"


# --------------------------------------------------------------------------- laws

PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(
                    "010",
                    "1234",
                    "5678",
                    "-",
                    ".",
                    " ",
                    "+82",
                    "(0)",
                    "@",
                    "naver.com",
                    "min.su",
                    "로",
                    "입니다",
                    "\u200b",
                ),
                *(
                    "900101",
                    "1234568",
                    "4111",
                    "1111",
                    "192.168",
                    "0.1",
                    "::",
                    "2001:db8",
                    ":",
                    "１２",
                    "전화",
                    "\0",
                    "\n",
                ),
                *("1588", "(", ")", "카드", "❤\ufe0f", "é", "e\u0301", "(at)", "골뱅이", "v", "_", "[EMAIL]"),
            ]
        ),
        st.text(max_size=4),
    ),
    max_size=14,
).map("".join)


@given(st.lists(PIECES, max_size=6))
def test_spans_are_in_order_apart_and_those_of_each_text_alone(texts: list[str]) -> None:
    spans = find(texts)
    for i, text in enumerate(texts):
        mine = spans.texts == i
        alone = find([text])
        for whole, one in zip(spans[1:], alone[1:], strict=True):
            assert whole[mine].tolist() == one.tolist()
        edges = np.column_stack([spans.starts[mine], spans.ends[mine]]).ravel().tolist()
        assert edges == sorted(edges)
        assert all(0 <= edge <= len(text) for edge in edges)
    assert (spans.ends > spans.starts).all()
    assert (np.diff(spans.texts) >= 0).all()


@given(st.lists(PIECES, max_size=6))
def test_a_scrubbed_text_is_clean_and_a_clean_text_is_itself(texts: list[str]) -> None:
    clean, hits = scrub(texts)
    assert len(find(clean).texts) == 0
    assert (hits[find(texts).texts] > 0).all()
    for before, after, count in zip(texts, clean, hits.tolist(), strict=True):
        assert (before == after) == (count == 0)
    again, none = scrub(clean)
    assert again == clean
    assert not none.any()


@given(st.lists(st.one_of(PIECES, st.text("ab .,'?!-_/%$#&*;\\n\"카@:([{7"), st.none()), max_size=6))
def test_texts_that_are_not_looked_into_hold_nothing(texts: list[str | None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pii, "_is_clean", lambda _: False)
        clean, hits = scrub(texts)
    quick, counted = scrub(texts)
    assert quick == clean
    assert counted.tolist() == hits.tolist()


@pytest.mark.parametrize(
    "text",
    [
        *("010-1234-5678", "541-714-1388", "1588-1234", "0049 30 1234567", "+49 30 1234567", "01012345678"),
        *("tel 1234567", "192.168.0.1", "2001:db8::1", "900101-1234568", "4111 1111 1111 1111", "a@b.com"),
        *("1588-1234-010-1234-5678", "1.01012345678", "12-010-1234-5678", "010-1234-5678 1234567"),
    ],
)
@pytest.mark.parametrize("between", ["-", ".", ",", " ", ":", "", "--", "/", ", ", "@"])
def test_masks_do_not_uncover_one_another_for_ever(
    text: str, between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    between = between or ("" if "+" not in text else "  ")  # a digit before a plus is arithmetic
    monkeypatch.setattr(pii, "_ROUNDS", 4)
    (clean,), _ = scrub([between.join([text] * 40)])
    assert "#" not in clean
    assert len(find([clean]).texts) == 0


def test_a_text_without_end_loses_its_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    (clean,), hits = scrub(["+49 30 1234567" * 40])
    assert "[PHONE][PHONE]" in clean
    assert "#" in clean
    assert hits.tolist() == [8]
    assert len(find([clean]).texts) == 0
    monkeypatch.setattr(pii, "_ROUNDS", 0)
    clean, _ = scrub(["전화 010-1234-5678, a@b.com ２", None, "없음"])
    assert clean == ["전화 ###-####-####, a#b.com #", "", "없음"]


def test_a_list_without_blanks_is_many_numbers() -> None:
    assert len(found("01012345678,01087654321,0212345678")) == 3
    assert len(found("010-1234-5678-010-8765-4321")) == 2
    assert found("3,01012345678") == found("3.01012345678") == []


# --------------------------------------------------------------------------- cost

HOSTILE = {
    "at": "@",
    "a@": "a@",
    "a@a.": "a@a.",
    "digits": "1",
    "digits and blanks": "1 ",
    "half numbers": "010-1234-567 ",
    "no card": "4111 ",
    "no resident": "900101-1234567 ",
    "colons": ":",
    "hex": "1::2",
    "dots": "99.",
    "plus": "+1",
    "brackets": "(",
    "spelled": "(at)",
    "zero width": "0\u200b",
    "wide": "１",
    "unseen": "\u200b",
    "cues": "tel 1234567 ",
    "numbers": "010-1234-5678 ",
    "gaps": "1 -- ",
    "snail": "골뱅이",
    "domain": "a@" + "b." * 400,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_no_more_than_its_length(name: str) -> None:
    """Eight times the text, about eight times the work: never the square of it, sixty-four times."""

    def cost(size: int) -> float:
        text = HOSTILE[name] * (size // len(HOSTILE[name]))
        start = time.process_time()
        find([text])
        return time.process_time() - start

    small = min(cost(1 << 12) for _ in range(3))
    large = min(cost(1 << 15) for _ in range(2))
    assert large < 30 * max(small, 0.002), f"{small:.4f} s and {large:.4f} s"


def test_a_quarter_of_a_megabyte_of_the_worst() -> None:
    rng = random.Random(3)
    pieces = [*HOSTILE.values(), "010", "-", " ", "4111", "@naver.com", "한글 ", "::", "\u200b"]
    text = "".join(rng.choice(pieces) for _ in range(1 << 13))[: 1 << 18]
    start = time.process_time()
    clean, hits = scrub([text])
    assert time.process_time() - start < 5
    assert hits[0] > 0
    assert len(find(clean).texts) == 0
