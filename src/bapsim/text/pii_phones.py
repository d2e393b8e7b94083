"""Telephone numbers: Korean, from abroad with a country code, American, and what a word announces."""

from __future__ import annotations

import re

from bapsim.text.pii_signs import BLANK, DASH, END, GAP, Form, alone, begins_late, cue, cued, digits_of

_AREA = "(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|[678]0|50[2-8]|30[23])"
_KOREAN = re.compile(
    rf"(?<![0-9])\(?(?:(?:\+[{BLANK}]?|00)82{GAP}0?{GAP}|82(?=[^0-9]){GAP}0?{GAP}|82(?=1[016-9])|0)"
    rf"(?:(?:1[016-9]{GAP}|{_AREA}(?=[^0-9]){GAP})[0-9]{{3,4}}{GAP}[0-9]{{4}}|{_AREA}[0-9]{{7,8}}"
    rf"|10(?:{GAP}[0-9]){{8}})(?![0-9])"
)
_COUNTRY = (
    "(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])"
    "[0-9])"
)
_STEP = f"[{BLANK}()]{{0,2}}+[{DASH}./]?+[{BLANK}()]{{0,2}}+"
_ABROAD = re.compile(
    rf"(?<![0-9A-Za-z])\(?(?P<sign>\+[{BLANK}]?|00){_COUNTRY}"
    rf"(?P<rest>(?:{_STEP}[0-9]){{6,12}})(?<=[0-9]{{2}})(?![0-9])"
)
_SERVICE = re.compile(
    "(?<![0-9])(?<![0-9][-.])"
    "(1(?:5(?:22|33|44|51|66|77|88|99)|6(?:00|44|6[0168]|70|88)|8(?:00|11|33|55|66|77|99)))"
    f"[{BLANK}]?[{BLANK}{DASH}.)][{BLANK}]?([0-9]{{4}})(?![-.]?[0-9])(?! [0-9]{{4}}(?![-.)]))"
)
_AMERICAN = re.compile(
    r"(?<![0-9])(?:\+?1[-. ])?(?:\([2-9][0-9]{2}\)[ -]?[2-9][0-9]{2}[-. ]|"
    r"[2-9][0-9]{2}(?P<mark>[-.])[2-9][0-9]{2}(?P=mark))[0-9]{4}(?![0-9])"
)
_CUED_NUMBER = re.compile(
    rf"(?<![0-9])(?<![0-9].)\(?[0-9](?:{_STEP}[0-9]){{6,12}}(?<=[0-9]{{2}})(?![0-9])(?! ?[원명건만억%])"
)
_DATE = re.compile("(?:19|20)[0-9]{2}(?:[^0-9]|[01][0-9][0-3][0-9]\\Z)|.*/")
_PHONE_CUE = cue(
    r"(?<![a-z])(?:tel|phone|telephone|call|mobile|cell|fax|whatsapp|hotline|dial|ars)(?![a-z])|전화|연락처|휴대폰|핸드폰|팩스|"
    "콜센터|고객센터|대표번호|문의|☎|📞"
)


def _by_itself(whole: str, m: re.Match[str]) -> bool:
    """A number with gaps; a Korean one without them must stand alone, and not be binary."""
    if m[0].isdigit():
        return alone(whole, *m.span()) and not set(m[0]) <= {"0", "1"}
    return not begins_late(whole, m.start())


def _abroad(whole: str, m: re.Match[str]) -> bool:
    """After a country code that exists; "00" needs a gap, "+1" ten digits, and a round sum is no number."""
    digits, rest = digits_of(m[0]).removeprefix("00"), digits_of(m["rest"])
    american = digits.startswith("1")
    if m["sign"] == "00" and (m[0].isdigit() or begins_late(whole, m.start())):
        return False
    if len(digits) < 8 or len(digits.rstrip("0")) < 6 or len(set(digits)) < 3:
        return False
    return not american or (len(rest) == 10 and rest[0] > "1")


def _service(whole: str, m: re.Match[str]) -> bool:
    """15xx, 16xx and 18xx numbers of firms; neither years from to, nor a difference."""
    first, last, gap = int(m[1]), int(m[2]), m[0][4:-4]
    before, after = whole[max(m.start() - 1, 0) : m.start()], whole[m.end() : m.end() + 2].lstrip()[:1]
    bracketed = before == "(" and after == ")"
    years = first <= last <= first + 120 and (len(gap) > 1 or gap == "–" or bracketed or after == "년")
    return not years and before != "$" and after != "="


def _cued_number(whole: str, m: re.Match[str]) -> bool:
    """Seven to thirteen digits behind a word like "phone" or 전화, but no date."""
    return not _DATE.match(m[0]) and cued(whole, m.start(), _PHONE_CUE)


_NATIONAL = re.compile("(?<![0-9.,])(?<![0-9][ -])0[0-9]{1,4}(?:[ -][0-9]{2,4}){2,4}(?![0-9])(?![ -][0-9])")
_ASKED = re.compile(
    r"(?:(?:answering|reach|call|ring|text)[a-z ]{0,12} (?:at|on)|(?:messages|sms|texts?) to"
    r"|number (?:is|to|:)|[☎📞]) ?\(?\Z",
    re.IGNORECASE,
)
_BEHIND = re.compile(r"[ -]{0,3}\(?(?:office|fax|mobile|cell|home|work|direct|switchboard)\b", re.IGNORECASE)


def _national(whole: str, m: re.Match[str]) -> bool:
    """Nine to eleven digits with a zero before them, in groups: the form of many countries."""
    digits = digits_of(m[0])
    return 9 <= len(digits) <= 11 and not digits.startswith("010")


def _called(whole: str, m: re.Match[str]) -> bool:
    """Seven to thirteen digits that somebody is reached at, or that are said to be an office's or a fax."""
    before = whole[max(m.start() - 40, 0) : m.start()].rpartition(END)[2]
    told = _ASKED.search(before) or _BEHIND.match(whole, m.end())
    return told is not None and not _DATE.match(m[0])


FORMS = (
    Form("phone", 9, _NATIONAL, _national),
    Form("phone", 7, _CUED_NUMBER, _called),
    Form("phone", 9, _KOREAN, _by_itself),
    Form("phone", 7, _ABROAD, _abroad),
    Form("phone", 8, _SERVICE, _service),
    Form("phone", 10, _AMERICAN, _by_itself),
    Form("phone", 7, _CUED_NUMBER, _cued_number),
)
