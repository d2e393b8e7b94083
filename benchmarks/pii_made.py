"""Sentences with personal data whose place is known, made from the public plans; used by pii.py.

Nothing here knows the kernel: values follow the ministry's telephone prefixes, ISO/IEC 7812 prefixes with
Luhn's digit, resident numbers with theirs, and the text forms of RFC 4291. `decoys` are nobody's numbers.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from datetime import date, timedelta

EACH = 200  # sentences for each format, with a particle and without
PARTICLES = (
    *("로", "으로", "에", "에서", "에게", "은", "는", "이", "가", "을", "를", "와", "과", "이랑", "까지"),
    *("부터", "만", "도", "이라고", "입니다", "이에요", "예요", "인데요", "이며", "였어요", "번으로", "의"),
    *("께", "한테", "이나", "님께", "번입니다"),
)
BEFORE = (
    *("회신은 ", "접수할 때 적은 ", "가족 분 것은 ", "제가 쓰는 건 ", "고객님이 남기신 "),
    *("어제 알려 드린 ", "바뀐 것은", "새로 만든", "김대리가 말한 ", "기존 ", "아래 적힌 "),
    *("서류에 있는 ", "☞ ", "※", "(임시) ", "[고객] ", "답장:", "- ", "1) ", "“"),
)
AFTER = (
    *(" 보내 주세요.", " 확인 바랍니다", " 남겨 주시면 됩니다!", " 맞나요?", " 하면 되죠ㅠㅠ"),
    *(" 안 돼요", ", 부탁드려요.", "\n감사합니다", "..."),
)
PLAIN = (
    *("{}", "고객 정보: {}", "{} (본인)", "예전 것: {} / 새 것: 없음", "\t{}\t", "“{}”", "({})"),
    *("a) {}", "{}…", "please use {} from now on", "it was {}, I think.", "{}; nothing else"),
    *("Reach us:\n{}\nThank you", "<{}>", "내용={}&끝", "「{}」", "{}\r\n다음 줄", "정보→{}←"),
)


def luhn(rng: random.Random, prefix: str, length: int) -> str:
    """A number of this length whose last digit makes Luhn's sum a multiple of ten."""
    body = prefix + "".join(str(rng.randrange(10)) for _ in range(length - len(prefix) - 1))
    for last in "0123456789":
        total = 0
        for place, sign in enumerate(reversed(body + last)):
            digit = int(sign) * (1 + place % 2)
            total += digit // 10 + digit % 10
        if total % 10 == 0:
            return body + last
    raise AssertionError


def digits(rng: random.Random, count: int) -> str:
    return "".join(str(rng.randrange(10)) for _ in range(count))


def cut(number: str, *sizes: int) -> list[str]:
    parts, at = [], 0
    for size in sizes:
        parts.append(number[at : at + size])
        at += size
    return parts


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def broken(rng: random.Random, text: str) -> str:
    """One or two signs that nobody sees, inside."""
    for _ in range(rng.choice((1, 2))):
        at = rng.randrange(1, len(text))
        text = text[:at] + rng.choice("\u200b\u200c\u2060\u00ad\ufeff") + text[at:]
    return text


# --------------------------------------------------------------------------- values, by format


def emails(rng: random.Random) -> Iterator[tuple[str, str]]:
    names = [
        "minji",
        "seo.jun",
        "park_hj",
        "lee-yh",
        "j",
        "choi2",
        "HongGD",
        "k.im",
        "no-reply",
        "a1b2c3",
        "team_cs",
    ]
    hosts = ["naver.com", "hanmail.net", "daum.net", "gmail.com", "kakao.com", "nate.com", "snu.ac.kr"]
    hosts += [
        "seoul.go.kr",
        "mail.shop.co.kr",
        "example.org",
        "x-y.io",
        "firma.de",
        "mail.company.technology",
        "123.kr",
    ]
    name = rng.choice(names) + rng.choice(
        ["", digits(rng, 2), digits(rng, 4), "+news", "." + rng.choice("abc")]
    )
    said = f"{name}@{rng.choice(hosts)}"
    yield "plain", said
    yield "upper case", said.upper()
    yield "full width", wide(said)
    yield "unseen signs", broken(rng, said)
    known = f"{name}@{rng.choice(hosts[:6])}"
    yield (
        "(at), 골뱅이, blanks",
        known.replace("@", rng.choice(["(at)", " (at) ", "[at]", " 골뱅이 ", "골뱅이", " @ "])),
    )


AREAS = ["031", "032", "033", "041", "042", "043", "044", "051", "052", "053", "054", "055"]
AREAS += ["061", "062", "063", "064"]
SERVICE = ["1522", "1533", "1544", "1566", "1577", "1588", "1599", "1600", "1644", "1661", "1666", "1670"]
SERVICE += ["1688", "1800", "1811", "1833", "1855", "1877", "1899"]


def mobiles(rng: random.Random) -> Iterator[tuple[str, str]]:
    a, b, c = "010", digits(rng, 4), digits(rng, 4)
    for name, sign in (("hyphen", "-"), ("dot", "."), ("blank", " "), ("nothing", ""), ("slash", "/")):
        yield f"mobile, {name}", sign.join((a, b, c))
    dash = rng.choice(["–", "—", "‑", "‐", "−", "ㅡ", "·", "~", "_", " - ", "- ", " . ", "--", "  "])
    yield "mobile, other signs", dash.join((a, b, c))
    yield (
        "mobile, mixed",
        rng.choice([f"{a}-{b} {c}", f"{a} {b}-{c}", f"{a}.{b}-{c}", f"{a}{b}-{c}", f"{a}-{b}{c}"]),
    )
    yield "mobile, bracket", rng.choice([f"{a}){b}-{c}", f"({a}){b}-{c}", f"({a}) {b} {c}"])
    yield "mobile, full width", wide("-".join((a, b, c)))
    yield "mobile, unseen signs", broken(rng, rng.choice(["-", "", " "]).join((a, b, c)))
    code = rng.choice(["+82 ", "+82-", "+82", "+82.", "+82 (0)", "+82-0", "(+82)", "0082-", "82-"])
    tail = rng.choice(["-", " ", ".", ""]).join((a[1:], b, c))
    yield "mobile, +82", code + (f"-{tail}" if code == "+82 (0)" and tail[2] == "-" else tail)
    old = rng.choice(["011", "016", "017", "018", "019"])
    yield "mobile, before 2004", rng.choice(["-", " ", "."]).join((old, digits(rng, rng.choice((3, 4))), c))


def landlines(rng: random.Random) -> Iterator[tuple[str, str]]:
    b, c = rng.choice("23456789") + digits(rng, rng.choice((2, 3))), digits(rng, 4)
    sign = rng.choice(["-", " ", ".", ""])
    yield "landline, 02", sign.join(("02", b, c))
    yield "landline, regions", sign.join((rng.choice(AREAS), b, c))
    yield (
        "landline, bracket",
        rng.choice(["{}){}-{}", "({}){}-{}", "({}) {}-{}"]).format(rng.choice(["02", *AREAS]), b, c),
    )
    yield (
        "landline, +82",
        rng.choice(["+82-{}-{}-{}", "+82 {} {} {}", "+82.{}.{}.{}"]).format(
            rng.choice(["2", *(a[1:] for a in AREAS)]), b, c
        ),
    )
    yield (
        "070, 050x, 080",
        sign.join((rng.choice(["070", "0502", "0504", "0505", "0507"]), digits(rng, 4), c)),
    )
    yield "15xx, 16xx, 18xx", rng.choice(["-", " ", ".", "-"]).join((rng.choice(SERVICE), c))


def abroad(rng: random.Random) -> Iterator[tuple[str, str]]:
    plans = [
        ("1", "2345678 9", (3, 3, 4)),
        ("44", "1234567", (2, 4, 4)),
        ("81", "3456789", (1, 4, 4)),
        ("49", "1357", (3, 8)),
    ]
    plans += [
        ("86", "1", (3, 4, 4)),
        ("33", "123456", (1, 2, 2, 2, 2)),
        ("84", "3579", (2, 3, 4)),
        ("63", "9", (3, 3, 4)),
    ]
    plans += [
        ("61", "234", (1, 4, 4)),
        ("7", "9", (3, 3, 2, 2)),
        ("998", "9", (2, 3, 2, 2)),
        ("886", "9", (3, 3, 3)),
    ]
    country, first, sizes = rng.choice(plans)
    number = rng.choice(first.replace(" ", "")) + digits(rng, sum(sizes) - 1)
    if country == "1":
        number = number[:3] + rng.choice("23456789") + number[4:]
    parts = [f"+{country}", *cut(number, *sizes)]
    yield "abroad, +, nothing", "".join(parts)
    yield "abroad, +, signs", rng.choice([" ", "-", "."]).join(parts)
    yield "abroad, 00", rng.choice([" ", "-"]).join([f"00{country}", *parts[1:]])


def phones(rng: random.Random) -> Iterator[tuple[str, str]]:
    yield from mobiles(rng)
    yield from landlines(rng)
    yield from abroad(rng)


def resident(rng: random.Random, born: date, foreign: bool, random_tail: bool) -> tuple[str, str]:
    sex = rng.randrange(2) + (1 if born.year < 2000 else 3) + (4 if foreign else 0)
    body = born.strftime("%y%m%d") + str(sex) + digits(rng, 5)
    total = sum(
        int(sign) * weight for sign, weight in zip(body, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5], strict=True)
    )
    last = (11 - total % 11) % 10
    if foreign:
        last = (13 - total % 11) % 10
    whole = body + (rng.choice("0123456789") if random_tail else str(last))
    return whole[:6], whole[6:]


def residents(rng: random.Random) -> Iterator[tuple[str, str]]:
    born = date(1930, 1, 1) + timedelta(days=rng.randrange(90 * 365))
    a, b = resident(rng, born, False, False)
    yield "hyphen", f"{a}-{b}"
    yield "blanks", rng.choice([f"{a} - {b}", f"{a} {b}", f"{a}- {b}"])
    yield "nothing", a + b
    yield "other signs", rng.choice(["–", "—", "~", ".", "/", "ㅡ", "−"]).join((a, b))
    yield "full width", wide(f"{a}-{b}")
    yield "unseen signs", broken(rng, f"{a}-{b}")
    yield "foreigner", "-".join(resident(rng, born, True, False))
    yield "foreigner, random digits", "-".join(resident(rng, born, True, True))
    late = date(2020, 10, 1) + timedelta(days=rng.randrange(6 * 365))
    yield "born since October 2020", "-".join(resident(rng, late, False, True))


def cards(rng: random.Random) -> Iterator[tuple[str, str]]:
    fours = [luhn(rng, p, 16) for p in ("4", str(rng.randrange(51, 56)), str(rng.randrange(2221, 2721)))]
    fours += [luhn(rng, p, 16) for p in ("6011", "65", str(rng.randrange(3528, 3590)), "62")]
    number = rng.choice(fours)
    parts = cut(number, 4, 4, 4, 4)
    for name, sign in (("hyphen", "-"), ("blank", " "), ("nothing", ""), ("dot", ".")):
        yield f"16 digits, {name}", sign.join(parts)
    yield (
        "16 digits, mixed",
        rng.choice(["{}-{} {}-{}", "{} - {} - {} - {}", "{}–{}–{}–{}", "{}  {}  {}  {}"]).format(*parts),
    )
    yield "16 digits, full width", wide("-".join(parts))
    yield "16 digits, unseen signs", broken(rng, rng.choice(["-", ""]).join(parts))
    amex = cut(luhn(rng, rng.choice(["34", "37"]), 15), 4, 6, 5)
    diners = cut(luhn(rng, rng.choice(["300", "305", "36", "38"]), 14), 4, 6, 4)
    yield "14 and 15 digits", rng.choice(["-", " ", ""]).join(rng.choice([amex, diners]))
    yield (
        "19 digits",
        rng.choice(["-", " ", ""]).join(cut(luhn(rng, rng.choice(["4", "62"]), 19), 4, 4, 4, 4, 3)),
    )
    yield "Korean only (9), fours", rng.choice(["-", " "]).join(cut(luhn(rng, "9", 16), 4, 4, 4, 4))


def addresses(rng: random.Random) -> Iterator[tuple[str, str]]:
    four = str(ipaddress.IPv4Address(rng.randrange(1 << 24, 224 << 24)))
    yield "IPv4", four
    yield "IPv4, full width", wide(four)
    yield "IPv4, unseen signs", broken(rng, four)
    six = ipaddress.IPv6Address(rng.getrandbits(125) | 1 << 125)
    yield "IPv6, all groups", six.exploded
    yield "IPv6, upper case", str(six).upper()
    yield (
        "IPv6, shortened",
        str(ipaddress.IPv6Address((0x2001_0DB8 << 96) | rng.getrandbits(rng.choice((12, 30, 60))))),
    )
    yield "IPv6 with IPv4", f"::ffff:{four}"


MAKERS = {"email": emails, "phone": phones, "resident": residents, "card": cards, "ip": addresses}


def decoys(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Numbers that are nobody's, of shapes that could be taken for somebody's."""
    day = date(2015, 1, 1) + timedelta(days=rng.randrange(4000))
    clock = f" {rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    forms = ["%Y-%m-%d", "%Y.%m.%d", "%Y%m%d", "%y%m%d", "%Y/%m/%d", "%Y년 %m월 %d일"]
    yield "dates and times", day.strftime(rng.choice(forms)) + rng.choice(["", clock])
    yield "prices and counts", f"{rng.randrange(10**4, 10**9):,}원"
    yield "large numbers", str(rng.randrange(10**6, 10**11))
    yield (
        "years from to",
        f"{(a := rng.randrange(1500, 1990))}{rng.choice(['-', '~', '–'])}{a + rng.randrange(1, 40)}년",
    )
    yield "accounts", rng.choice(["3333-{}-{}", "110-{}-{}00"]).format(digits(rng, 2), digits(rng, 7))
    yield "orders, date and 7 digits", f"{day.strftime('%y%m%d')}-{digits(rng, 7)}"
    yield "orders, date and 6 digits", f"{day.strftime('%Y%m%d')}-{digits(rng, 6)}"
    yield "barcodes", "880" + digits(rng, 10)
    yield "16 digits at random, fours", "-".join(cut(digits(rng, 16), 4, 4, 4, 4))
    yield "firms' registration", "-".join(cut(digits(rng, 10), 3, 2, 5))
    yield (
        "versions",
        rng.choice(["v{}.{}.{}.{}", "버전 {}.{}.{}.{}", "lib-{}.{}.{}.{}"]).format(
            *(rng.randrange(40) for _ in range(4))
        ),
    )
    yield "epoch, milliseconds", str(rng.randrange(1_500_000_000_000, 1_800_000_000_000))
    yield "hashes", f"{rng.getrandbits(160):040x}"
    yield "postcodes, US", f"MA {digits(rng, 5)}-{digits(rng, 4)}"
    yield "scores and lists", ", ".join(str(rng.randrange(100)) for _ in range(rng.randrange(4, 12)))


# --------------------------------------------------------------------------- sentences


def sentences(seed: int) -> list[dict]:
    """One for each value: kind, format, whether a particle follows, text, and the value's place."""
    rng = random.Random(seed)
    found = []
    for kind, make in MAKERS.items():
        for _ in range(EACH):
            for name, value in make(rng):
                for particle in (True, False):
                    before, _, after = rng.choice(PLAIN).partition("{}")
                    if particle:
                        before, after = (
                            rng.choice(BEFORE),
                            rng.choice(PARTICLES) + rng.choice(AFTER),
                        )
                    place = (len(before), len(before) + len(value))
                    found.append(
                        {"kind": kind, "format": name, "particle": particle, "text": before + value + after}
                    )
                    found[-1] |= {"start": place[0], "end": place[1]}
    return found


def planted(seed: int, reviews: list[str]) -> list[dict]:
    """The same values between the words of real sentences, half of them with a particle behind."""
    rng = random.Random(seed)
    found = []
    for kind, make in MAKERS.items():
        for _ in range(EACH // 2):
            for name, value in make(rng):
                particle = rng.random() < 0.5
                words = rng.choice(reviews).split(" ")
                at = rng.randrange(len(words) + 1)
                before = "".join(f"{word} " for word in words[:at])
                after = (rng.choice(PARTICLES) if particle else "") + "".join(
                    f" {word}" for word in words[at:]
                )
                one = {"kind": kind, "format": name, "particle": particle, "text": before + value + after}
                found.append(one | {"start": len(before), "end": len(before) + len(value)})
    return found
