"""Where somebody lives: Korean addresses by road or by lot, flats, and streets in English.

A road and a number alone ("그대로 3", "종로 3") are no address: what stands before must be a town or a
district, or a word such as 주소, or a flat must follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bapsim.text.pii_signs import END, WORDS, either

_BACK = 60  # signs before a number that are looked at
_NUMBERED = re.compile(r"[가-힣0-9](?:로|길|동|리|가)[ ]?(?=[0-9])")
_LINE = re.compile(rf"[\n\r{END}]")
_REGION = re.compile(
    f"(?:{either('regions')})(?:도|시|특별시|광역시|특별자치시|특별자치도)?,?|[가-힣]{{1,6}}(?:시|군|구|읍|면|동|리),?"
)
_ROAD = re.compile(r"[가-힣A-Za-z0-9·.]{1,14}(?:로|길)(?:[0-9]{1,4}(?:번|가)?길)?")
_LOT = re.compile(r"[가-힣0-9·]{1,8}(?:동|리|가)")
_ALLEY = re.compile(r"[0-9]{1,4}(?:번|가)?길")
_NUMBER = re.compile(
    r"(?:산 ?)?[0-9]{1,5}(?:-[0-9]{1,5})?(?:번지)?(?:(?:번|가)?길[ ]?[0-9]{1,4}(?:-[0-9]{1,4})?)?"
)
_UNIT = re.compile(f" ?(?:{either('units')})")
_SIDE = r"(?:[, ]{0,2}\([가-힣0-9, ]{1,30}\))?"
_TAIL = re.compile(
    rf"{_SIDE}(?:[, ]{{0,2}}[가-힣A-Za-z0-9]{{1,20}}(?:{either('buildings')}))?"
    r"(?:[, ]{0,2}(?:제 ?)?[0-9A-Za-z가-힣]{1,4}동)?"
    rf"(?:[, ]{{0,2}}(?:지하 ?|B)?[0-9]{{1,3}}층)?(?:[, ]{{0,2}}[0-9]{{1,5}}호)?{_SIDE}"
)
_HOUSED = re.compile(r"번지|번길|[0-9]동|[0-9]층|[0-9]호")
_CUE = re.compile(
    r"(?:주소|거주|사는 ?곳|배송지|본적|자택|소재지|주거지|집은|회사는|address)[^0-9\n]{0,14}\Z",
    re.IGNORECASE,
)
_FLAT = re.compile(
    rf"(?<![0-9A-Za-z가-힣])(?:[가-힣A-Za-z0-9]{{1,20}}(?:{either('buildings')})? )?"
    r"[0-9]{1,4}동 ?[0-9]{2,5}호"
)
_ADVERBS = frozenset(WORDS["adverbs"])
_STREET = re.compile(
    r"(?<![0-9A-Za-z-])[0-9]{1,5}[A-Za-z]? (?:[NSEW]\.? )?(?:[A-Z][A-Za-z'.-]{1,20} ){1,4}"
    rf"(?:{either('streets')})(?![A-Za-z])\.?"
    r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|#)\.? ?[0-9A-Za-z-]{1,6})?"
    r"(?:,? [A-Z][A-Za-z .'-]{1,25},? [A-Z]{2}(?: [0-9]{5}(?:-[0-9]{4})?)?)?"
)


def addresses(whole: str) -> Iterator[tuple[int, int]]:
    """Places of addresses, in order, none overlapping."""
    hits = sorted(
        [*_korean(whole), *((m.start(), m.end()) for m in (*_FLAT.finditer(whole), *_STREET.finditer(whole)))]
    )
    end = -1
    for start, stop in hits:
        if start >= end:
            end = stop
            yield start, stop


def _korean(whole: str) -> Iterator[tuple[int, int]]:
    done = 0
    for m in _NUMBERED.finditer(whole):
        if m.start() < done:
            continue
        found = _around(whole, m.end())
        if found is not None:
            done = found[1]
            yield found


def _around(whole: str, at: int) -> tuple[int, int] | None:
    """The address whose house number begins at `at`, if there is one."""
    before = _LINE.split(whole[max(at - _BACK, 0) : at])[-1]
    words = [(w.start(), w[0]) for w in re.finditer(r"\S+", before)]
    begin, road = words.pop()
    alley = _ALLEY.fullmatch(road) is not None and bool(words)
    if alley:
        begin, road = words.pop()
    if road in _ADVERBS or not (_ROAD.fullmatch(road) or (_LOT.fullmatch(road) and not alley)):
        return None
    regions = 0
    while words and regions < 5 and _REGION.fullmatch(words[-1][1]):
        begin, _ = words.pop()
        regions += 1
    number = _NUMBER.match(whole, at)
    if number is None:
        return None
    tail = _TAIL.match(whole, number.end())
    end = number.end() if tail is None else tail.end()
    housed = _HOUSED.search(whole[at:end]) is not None
    if not housed and _UNIT.match(whole, number.end()):
        return None
    by_lot = _ROAD.fullmatch(road) is None
    known = regions > 0 or _CUE.search(before[:begin]) is not None
    return (at - len(before) + begin, end) if known or (housed and not by_lot) else None
