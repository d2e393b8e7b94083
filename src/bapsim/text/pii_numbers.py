"""Resident registration numbers and payment cards: days that exist, check digits, prefixes given out."""

from __future__ import annotations

import calendar
import re

from bapsim.text.pii_signs import GAP, LINE, Form, alone, cue, cued, digits_of

_RESIDENT = re.compile(
    rf"(?<![0-9])[0-9]{{2}}(?P<split>{LINE})[0-9]{{2}}{LINE}[0-9]{{2}}(?P<gap>{GAP})[1-8][0-9]{{6}}(?![0-9])"
)
_RESIDENT_CUE = cue("주민|외국인|등록번호|거소|식별번호|resident|registration|rrn")
_ORDER_CUE = cue("(?:주문|접수|예약|송장) ?번호|(?:order|invoice|ticket|booking)(?: no| number| id|[ :#])")
_OLDEST = 1930  # who was born earlier got no new number
_LAST_YEAR = 2039  # of birth: no clock is read, so that a text means the same tomorrow
_RANDOM_SINCE = (2020, 10)  # numbers given out from then on have no check digit


def _resident(whole: str, m: re.Match[str]) -> bool:
    """A day that exists, a digit for sex and century, and the check digit where it can be demanded.

    Without it: behind a hyphen, those born since October 2020 and foreigners (who got new numbers); behind a
    cue, all.
    """
    digits = [int(c) for c in digits_of(m[0])]
    sex = digits[6]
    year = (1900 if sex in {1, 2, 5, 6} else 2000) + 10 * digits[0] + digits[1]
    month, day = 10 * digits[2] + digits[3], 10 * digits[4] + digits[5]
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1] or year > _LAST_YEAR:
        return False
    total = sum(w * d for w, d in zip((2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), digits[:12], strict=True))
    if ((11 if sex < 5 else 13) - total % 11) % 10 == digits[12]:
        return bool(m["gap"]) or alone(whole, *m.span())
    if cued(whole, m.start(), _RESIDENT_CUE):
        return True
    parted = bool(m["gap"].strip()) and not m["split"] and not cued(whole, m.start(), _ORDER_CUE)
    return parted and ((year, month) >= _RANDOM_SINCE or (sex >= 5 and year >= _OLDEST))


_FOUR = f"[0-9]{{4}}{LINE}"
_CARD_LONG = re.compile(rf"(?<![0-9]){_FOUR}{_FOUR}{_FOUR}{_FOUR}[0-9]{{3}}(?![0-9])")
_CARD = re.compile(
    rf"(?<![0-9])(?:{_FOUR}{_FOUR}{_FOUR}[0-9]{{4}}|[0-9]{{4}}{LINE}[0-9]{{6}}{LINE}[0-9]{{4,5}}|[0-9]{{12,18}})"
    "(?![0-9])"
)
_ISSUED = re.compile(  # Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay
    "4(?:.{15}|.{18})|(?:5[1-5]..|222[1-9]|22[3-9].|2[3-6]..|27[01].|2720).{12}|3[47].{13}|3(?:0[0-59]|[689].)"
    ".{11}|(?:6011|65..|64[4-9].).{12}(?:...)?|35(?:2[89]|[3-8].).{12}|(?:2131|1800).{11}|62.{14,17}"
)
_ISSUED_WEAK = re.compile("9.{15}|4.{12}|(?:50|5[6-9]|6.|0604).{10,17}")  # Korean only, old Visa, Maestro
_CARD_CUE = cue(r"카드|결제|card|credit|debit|visa|master|maestro|amex|(?<![a-z])cc(?![a-z])")


def _card(whole: str, m: re.Match[str]) -> bool:
    """Luhn's check digit, and a length and prefix that are given out; weak ones in fours or behind a cue."""
    digits = digits_of(m[0])
    twice = [2 * int(c) for c in digits[-2::-2]]
    if (sum(int(c) for c in digits[::-2]) + sum(d - 9 * (d > 9) for d in twice)) % 10:
        return False
    bare = digits == m[0]
    if bare and not alone(whole, *m.span()):
        return False
    if _ISSUED.fullmatch(digits):
        return True
    weak = _ISSUED_WEAK.fullmatch(digits) is not None
    return weak and (not bare or cued(whole, m.start(), _CARD_CUE))


_SOCIAL = re.compile(
    "(?<![0-9])(?<![0-9]-)(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9])(?!-[0-9])"
)


def _social(whole: str, m: re.Match[str]) -> bool:
    """A social security number of the United States: three, two, four, and no part of noughts."""
    return True


def _card_with_a_slip(whole: str, m: re.Match[str]) -> bool:
    """Behind a word for a card a wrong digit is a slip of the hand, not another number."""
    return len(digits_of(m[0])) in (15, 16) and cued(whole, m.start(), _CARD_CUE)


FORMS = (
    Form("resident", 9, _SOCIAL, _social),
    Form("resident", 13, _RESIDENT, _resident),
    Form("card", 19, _CARD_LONG, _card),
    Form("card", 12, _CARD, _card),
    Form("card", 15, _CARD, _card_with_a_slip),
)
