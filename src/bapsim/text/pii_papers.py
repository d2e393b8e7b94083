"""Numbers of papers and firms: business registration, bank accounts, passports, driving licences.

Forms and check digits: business numbers have a check digit (weights 1 3 7 1 3 7 1 3 5), IBANs remainder 1 of
97 (ISO 13616); accounts, old passports and licences have neither, so a word before them or their hyphens must
tell.
"""

from __future__ import annotations

import re

from bapsim.text.pii_signs import LINE, Form, alone, cue, cued, digits_of

_BUSINESS = re.compile(rf"(?<![0-9])(?<![0-9]-)[0-9]{{3}}{LINE}[0-9]{{2}}{LINE}[0-9]{{5}}(?![0-9])(?!-[0-9])")
_BUSINESS_CUE = cue("사업자|등록번호|business|brn|vat|tax")


def _business(whole: str, m: re.Match[str]) -> bool:
    """Its check digit; without gaps behind a word only."""
    digits = [int(c) for c in digits_of(m[0])]
    total = (
        sum(w * d for w, d in zip((1, 3, 7, 1, 3, 7, 1, 3, 5), digits[:9], strict=True)) + digits[8] * 5 // 10
    )
    if (10 - total % 10) % 10 != digits[9]:
        return False
    return bool(re.fullmatch("[0-9]{3}-[0-9]{2}-[0-9]{5}", m[0])) or cued(whole, m.start(), _BUSINESS_CUE)


_ACCOUNT = re.compile(rf"(?<![0-9])[0-9]{{2,6}}(?:{LINE}[0-9]{{2,8}}){{0,4}}(?![0-9])")
_ACCOUNT_CUE = cue(
    "계좌(?:번호)?|예금주|입금|송금|이체|은행|뱅크|농협|수협|신협|새마을금고|우체국|account|acct|a/c|bank|iban"
)


def _account(whole: str, m: re.Match[str]) -> bool:
    """Ten to sixteen digits behind a bank or a word for an account."""
    return 10 <= len(digits_of(m[0])) <= 16 and cued(whole, m.start(), _ACCOUNT_CUE)


_IBAN = re.compile(
    "(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])"
)


def _iban(whole: str, m: re.Match[str]) -> bool:
    said = m[0].replace(" ", "")
    return len(said) >= 15 and int("".join(str(int(c, 36)) for c in said[4:] + said[:4])) % 97 == 1


_PASSPORT_NEW = re.compile("(?<![A-Za-z0-9])[MSRODG][0-9]{3}[A-Z][0-9]{4}(?![A-Za-z0-9])")
_PASSPORT = re.compile("(?<![A-Za-z0-9])[A-Z]{0,2}[0-9]{6,9}(?![A-Za-z0-9])")
_PASSPORT_CUE = cue("여권|passport")


def _passport(whole: str, m: re.Match[str]) -> bool:
    """Any country's behind the word; Korean ones since 2021 have a form of their own."""
    return cued(whole, m.start(), _PASSPORT_CUE)


_REGIONS = "서울|부산|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산"
_REST = f"{LINE}[0-9]{{6}}{LINE}[0-9]{{2}}(?![0-9])"
_LICENCE = re.compile(
    rf"(?<![0-9])(?:1[1-9]|2[0-8]){LINE}[0-9]{{2}}{_REST}"
    rf"|(?:{_REGIONS}) ?(?:[0-9]{{2}}{LINE})?[0-9]{{2}}{_REST}"
)
_LICENCE_CUE = cue("면허|licen[cs]e")


def _licence(whole: str, m: re.Match[str]) -> bool:
    """With its hyphens, or the region's name; without gaps behind a word only."""
    if m[0].isdigit():
        return cued(whole, m.start(), _LICENCE_CUE) and alone(whole, *m.span())
    return m[0].count("-") >= 2 or cued(whole, m.start(), _LICENCE_CUE)


def _always(whole: str, m: re.Match[str]) -> bool:
    return True


CHECKED = (Form("account", 4, _IBAN, _iban, reach=9),)  # parts of it look like telephone numbers
FORMS = (
    Form("business", 10, _BUSINESS, _business),
    Form("account", 10, _ACCOUNT, _account),
    Form("passport", 4, _PASSPORT_NEW, _always, reach=6),
    Form("passport", 6, _PASSPORT, _passport),
    Form("licence", 10, _LICENCE, _licence, reach=6),
)
