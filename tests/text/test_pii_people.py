"""Papers, places and names: what is found beside which word, what looks like it, what hostile text costs."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import messages
from bapsim.text.pii import ALL, PEOPLE, find, redact, scrub


def found(text: str, *kinds: str) -> list[tuple[str, str]]:
    spans = find([text], kinds or PEOPLE)
    places = zip(spans.kinds.tolist(), spans.starts.tolist(), spans.ends.tolist(), strict=True)
    return [(ALL[kind], text[start:end]) for kind, start, end in places]


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("사업자등록번호는 220-81-62517입니다", "business", "220-81-62517"),
        ("등록번호 2208162517", "business", "2208162517"),
        ("국민은행 123456-04-123456으로 보내세요", "account", "123456-04-123456"),
        ("입금 계좌번호: 110 234 567890", "account", "110 234 567890"),
        ("IBAN DE89 3704 0044 0532 0130 00.", "account", "DE89 3704 0044 0532 0130 00"),
        ("여권번호 M12345678이", "passport", "M12345678"),
        ("M123A4567을 찾습니다", "passport", "M123A4567"),
        ("passport no. 533380006", "passport", "533380006"),
        ("면허 11-22-123456-78", "licence", "11-22-123456-78"),
        ("경기 12-345678-90", "licence", "경기 12-345678-90"),
        ("운전면허번호 112212345678", "licence", "112212345678"),
        (
            "주소는 서울특별시 강남구 테헤란로 152, 3층입니다",
            "address",
            "서울특별시 강남구 테헤란로 152, 3층",
        ),
        ("경기도 성남시 분당구 정자동 178-1번지로", "address", "경기도 성남시 분당구 정자동 178-1번지"),
        ("부산 해운대구 센텀중앙로 97 센텀스카이비즈타워 1203호", "address", None),
        ("강남대로94길 12-3 201호에 삽니다", "address", "강남대로94길 12-3 201호"),
        ("래미안아파트 101동 1203호요", "address", "래미안아파트 101동 1203호"),
        ("배송지: 가마산로 25", "address", "가마산로 25"),
        ("at 123 Main Street, Springfield, IL 62704.", "address", "123 Main Street, Springfield, IL 62704"),
        ("홍길동 씨가 왔다", "name", "홍길동"),
        ("김민수님께", "name", "김민수"),
        ("이영희 과장님이", "name", "이영희"),
        ("남궁민 선수는", "name", "남궁민"),
        ("환자 박지민(34세)", "name", "박지민"),
        ("예금주: 허준", "name", "허준"),
        ("담당자 김하은입니다", "name", "김하은"),
        ("저는 최서연이라고 합니다", "name", "최서연"),
        ("Mr. John Smith called", "name", "John Smith"),
        ("Hello, my name is Mary-Ann O'Neil.", "name", None),
        ("Dear Anna,", "name", "Anna"),
    ],
)
def test_what_is_found(text: str, kind: str, said: str | None) -> None:
    hits = found(text)
    assert [one for one, _ in hits] == [kind], hits
    assert said is None or hits[0][1] == said
    assert kind.upper() in redact(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "220-81-62518 (no check digit)",
        "110-234-567890 and 3333-02-1234567",  # nothing says account
        "우리 3명이 그대로 3번, 실제로 10회, 앞으로 2주",
        "종로 3가에서 만나자, 2동 1위, 서울로 3시간",
        "강남구에서 앞으로 3미터",
        "고객님, 이용자님, 선생님, 사장님, 손님, 부모님께 안내드립니다",
        "이런 씨앗, 날씨, 솜씨, 아저씨, 아가씨",
        "환자 정보는 담당자 이메일로, 고객 전화는 피해자 지원센터로",
        "담당자 지정이 필요합니다",
        "Dear Customer, Dear Sir, Hi there, Thanks",
        "version M123, order A1234567, M12345678",
        "the Street is 12 long",
    ],
)
def test_what_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_bare_names_are_looked_for_on_demand_only() -> None:
    assert found("김민수가 홍길동을 만났다") == []
    assert found("김민수가 홍길동을 만났다", "bare_name") == [
        ("bare_name", "김민수"),
        ("bare_name", "홍길동"),
    ]
    assert scrub(["김민수가 왔다"], ["bare_name"])[0] == ["[NAME]가 왔다"]


WORDS = (
    "김민수 씨 님 환자 서울시 강남구 테헤란로 152 동 호 101 번지 주소 계좌 국민은행 123456 04 - M12345678 "
    "여권 Mr. John Smith Street 12 [NAME] 길 로 면허 11 22 Dear , : ( ) 은 이 가"
)
PIECES = st.lists(st.sampled_from([*WORDS.split(), "\n", "\0"]), max_size=16).map(" ".join)


@given(st.lists(PIECES, max_size=5))
def test_a_redacted_text_is_clean_and_spans_are_apart(texts: list[str]) -> None:
    clean, hits = scrub(texts, PEOPLE)
    assert len(find(clean, PEOPLE).texts) == 0
    for before, after, count in zip(texts, clean, hits.tolist(), strict=True):
        assert (before == after) == (count == 0)
    spans = find(texts, PEOPLE)
    for i, text in enumerate(texts):
        mine = spans.texts == i
        edges = [e for pair in zip(spans.starts[mine], spans.ends[mine], strict=True) for e in pair]
        assert edges == sorted(edges)
        assert all(0 <= edge <= len(text) for edge in edges)
        alone = find([text], PEOPLE)
        assert alone.starts.tolist() == spans.starts[mine].tolist()


HOSTILE = {
    "surnames": "김" * 60_000,
    "names": "김민수 씨" * 12_000,
    "roads": "테헤란로 " * 12_000,
    "numbers": "로 1" * 20_000,
    "regions": "강남구 " * 15_000 + "로 1",
    "flats": "1동 " * 20_000,
    "capitals": "Mr. " + "Aa " * 20_000,
    "streets": "12 " + "Aaa " * 15_000,
    "labels": "고객 : " * 12_000,
    "dear": "Dear " * 12_000,
    "iban": "DE89 " * 12_000,
    "signs": "(" * 60_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_work_grows_with_the_text_and_not_faster(name: str) -> None:
    text = HOSTILE[name]
    begun = time.process_time()
    find([text], ALL)
    assert time.process_time() - begun < 2.0


def test_every_kind_has_a_name_for_people() -> None:
    assert all(f"audit.pii.{kind}" in messages() for kind in ALL)


def test_nothing_and_nobody() -> None:
    assert redact("") == ("", 0)
    assert scrub([None, ""], PEOPLE)[0] == [None, ""]
