"""Personal data that has a form: e-mail, resident numbers, payment cards, IP addresses, telephone numbers.

A few passes over all texts end to end find what could hold a number or an address (a clean text costs no
more); only there are forms tried, and dates and check digits verified. Every repetition is bounded, so the
work grows with the text and not faster. What is claimed of each kind, and what is not found: docs/pii.md.
"""

from __future__ import annotations

import calendar
import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bapsim.core.arrow import strings
from bapsim.core.errors import RecipeError

Ints = NDArray[np.int64]
KINDS = ("email", "resident", "card", "ip", "phone")  # where two overlap, the earlier kind stands
_ROUNDS = 8
_END = "\0"  # between two texts; no form crosses it, nor the end of a line


class Spans(NamedTuple):
    """int64[k] each, by text and place, none overlapping: the text's number, the kind's place in KINDS, and
    the code points [start, end) of the text as it was given.
    """

    texts: Ints
    kinds: Ints
    starts: Ints
    ends: Ints


def known_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds in the order of KINDS; raises RecipeError for a name that is none of them."""
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    unknown = [kind for kind in wanted if kind not in KINDS]
    if unknown or not wanted:
        raise RecipeError("unknown_pii_kind", kinds=", ".join(unknown) or "()", known=", ".join(KINDS))
    return tuple(kind for kind in KINDS if kind in wanted)


def find(texts: Sequence[str | None], kinds: Sequence[str] = KINDS) -> Spans:
    """Where these texts hold personal data of these kinds; None is an empty text."""
    plain = ["" if text is None else text for text in texts]
    whole, begins = _END.join(plain), _begins(plain)
    places = _make_plain(plain, whole, begins)
    if places:
        whole, begins = _END.join(plain), _begins(plain)
    spans = np.empty((3, 0), np.int64)  # starts, ends, kinds
    for kind, hits in _by_precedence(whole, known_kinds(kinds)):
        if not hits:
            continue
        new = np.array(hits, np.int64).reshape(-1, 2).T
        after = np.searchsorted(spans[1], new[0], side="right")
        new = new[:, np.append(spans[0], len(whole) + 1)[after] >= new[1]]
        named = np.vstack([new, np.full(new.shape[1], KINDS.index(kind))])
        spans = np.hstack([spans, named])
        spans = spans[:, np.argsort(spans[0], kind="stable")]
    of = np.searchsorted(begins, spans[0], side="right") - 1
    starts, ends = spans[0] - begins[of], spans[1] - begins[of]
    for i in np.flatnonzero(np.isin(of, list(places))).tolist():
        place = places[int(of[i])]
        starts[i], ends[i] = place[starts[i]], place[ends[i] - 1] + 1
    return Spans(of, spans[2], starts, ends)


def masked(texts: Sequence[str | None], spans: Spans) -> list[str | None]:
    """The texts with [EMAIL], [PHONE], ... in place of each span; a particle behind it stays as it was."""
    out = list(texts)
    edges = np.flatnonzero(np.diff(spans.texts)) + 1
    for rows in np.split(np.arange(len(spans.texts)), edges) if len(spans.texts) else ():
        text, parts, end = out[int(spans.texts[rows[0]])] or "", [], 0
        for i in rows.tolist():
            parts += [text[end : int(spans.starts[i])], f"[{KINDS[int(spans.kinds[i])].upper()}]"]
            end = int(spans.ends[i])
        out[int(spans.texts[rows[0]])] = "".join([*parts, text[end:]])
    return out


def scrub(texts: Sequence[str | None], kinds: Sequence[str] = KINDS) -> tuple[list[str | None], Ints]:
    """The texts masked until nothing is found in them any more, and int64[n]: how much was masked in each.

    A text in which masks go on uncovering more (no text of a person's does) loses all its digits.
    """
    kinds, out, hits = known_kinds(kinds), list(texts), np.zeros(len(texts), np.int64)
    left = np.flatnonzero([not _is_clean(text) for text in texts])
    for _ in range(_ROUNDS):
        if not len(left):
            break
        some = [out[i] for i in left.tolist()]
        spans = find(some, kinds)
        rows = left[spans.texts]
        np.add.at(hits, rows, 1)
        for i, text in zip(left.tolist(), masked(some, spans), strict=True):
            out[i] = text
        left = np.unique(rows)
    for i in left.tolist():
        out[i] = re.sub(r"\d|[@＠﹫]", "#", out[i] or "")
    return out, hits


_SIGNS = b"0123456789@:([{"


def _is_clean(text: str | None) -> bool:
    """Whether no form can be there: in ASCII each has a digit, an @, a colon or an opening bracket."""
    return text is not None and text.isascii() and len(text.encode().translate(None, _SIGNS)) == len(text)


def scrub_columns(
    rows: pa.RecordBatch, columns: Sequence[str], kinds: Sequence[str] = KINDS
) -> tuple[pa.RecordBatch, Ints]:
    """The rows with these columns masked, and int64[n]: how much was masked in each row.

    Columns that are not text, or not there, are as they were.
    """
    hits = np.zeros(len(rows), np.int64)
    for name in columns:
        at = rows.schema.get_field_index(name)
        if at < 0 or not _is_text(rows.schema.field(at).type):
            continue
        clean, found = scrub(strings(rows.column(at)), kinds)
        if found.any():
            column = pa.array(clean, pa.string()).cast(rows.schema.field(at).type)
            rows = rows.set_column(at, rows.schema.field(at), column)
        hits += found
    return rows, hits


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def counts(spans: Spans) -> dict[str, int]:
    """How many spans there are of each kind, none left out."""
    return dict(zip(KINDS, np.bincount(spans.kinds, minlength=len(KINDS)).tolist(), strict=True))


# ---------------------------------------------------------------- signs

# Soft hyphens, zero widths, fillers, variation selectors, keycaps; and the zeros of other scripts, after each
# of which nine digits follow. Not past U+FFFF: a set of signs there makes a scan ten times slower.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20e3"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
)
_ZEROS = (
    "660 6f0 7c0 966 9e6 a66 ae6 b66 be6 c66 ce6 d66 de6 e50 ed0 f20 1040 1090 17e0 1810 1946 19d0 1a80 1a90 "
    "1b50 1bb0 1c40 1c50 a620 a8d0 a900 a9d0 a9f0 aa50 abf0"
)
_PLAIN = {int(zero, 16) + i: str(i) for zero in _ZEROS.split() for i in range(10)}
_WIDE = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {0xFE6B: "@"}  # full width
_PLAIN |= {code: sign for code, sign in _WIDE.items() if sign.isalnum() or sign in "@.+"}
_NOTHING = re.compile(f"[{_UNSEEN}]")
_STRANGE = re.compile(f"[{_UNSEEN}{''.join(map(chr, _PLAIN))}]")
_BESIDE = re.compile("[ -~]|..[0-9A-Za-z@]", re.DOTALL)
_PLAIN |= _WIDE  # commas and question marks, of which there are many, do not make a text strange


def _make_plain(texts: list[str], whole: str, begins: Ints) -> dict[int, Ints]:
    """Writes texts with strange signs anew in plain ones; where each of their signs stood, by text.

    An unseen sign is strange beside one of ASCII only: emoji are full of them.
    """
    places: dict[int, Ints] = {}
    met = [] if whole.isascii() else [m.start() for m in _STRANGE.finditer(whole)]
    strange = [at for at in met if ord(whole[at]) in _PLAIN or _BESIDE.match(whole, max(at - 1, 0))]
    for i in np.unique(np.searchsorted(begins, strange, side="right") - 1).tolist():
        gone = [m.start() for m in _NOTHING.finditer(texts[i])]
        places[i] = np.delete(np.arange(len(texts[i])), gone)
        texts[i] = _NOTHING.sub("", texts[i]).translate(_PLAIN)
    return places


def _begins(texts: list[str]) -> Ints:
    """int64[n + 1]: where each text begins when they stand end to end with one sign between them."""
    return np.append(0, np.cumsum(np.array(list(map(len, texts)), np.int64) + 1))


_BLANK = " \t\u00a0\u2000-\u200a\u202f\u205f\u3000"
_DASH = r"\-\u00b7\u02d7\u2010-\u2015\u2022\u2027\u2043\u2212\u2219\u3161\u318d\u30fb\u30fc\ufe58\ufe63"
_MARK = _DASH + "./~_,:()\uff08\uff09\uff0c\uff0d\uff0f\uff1a\uff3f\uff5e"
_GAP = f"[{_BLANK}]{{0,2}}+[{_MARK}]{{0,2}}+[{_BLANK}]{{0,2}}+"  # between groups of digits, or nothing
_LINE = f"[{_BLANK}]{{0,2}}+[{_DASH}./]?+[{_BLANK}]{{0,2}}+"  # where a comma or bracket ends a number
_CHAIN = re.compile(f"[0-9](?:[{_BLANK}{_MARK}+]{{0,6}}+[0-9]){{3,}}+")
_DIGITS = re.compile("[^0-9]+")


def _digits(said: str) -> str:
    return _DIGITS.sub("", said)


def _alone(whole: str, start: int, end: int) -> bool:
    """A number without gaps is no part of a word, a name, a decimal or a sum with commas."""
    if _in_word(whole[start - 1 : start]) or _in_word(whole[end : end + 1]):
        return False
    return not _WHOLE_PART.search(whole, max(start - 5, 0), start)


def _in_word(sign: str) -> bool:
    return sign.isascii() and (sign.isalnum() or sign == "_")


_WHOLE_PART = re.compile(r"(?<![0-9.,])[0-9]{1,3}[.,]\Z")
_FIRST_GROUP = re.compile(r"(?<![0-9.-])(?<![0-9] )[0-9]+[.-]\Z")


def _begins_late(whole: str, start: int) -> bool:
    """The number goes on from one other group of digits: an account, an item's number."""
    return _FIRST_GROUP.search(whole, max(start - 8, 0), start) is not None


def _cued(whole: str, start: int, words: re.Pattern[str]) -> bool:
    """One of the words stands at most 16 signs before a number, with no digit between."""
    before = unicodedata.normalize("NFC", whole[max(start - 32, 0) : start].rpartition(_END)[2])
    return words.search(before) is not None


def _cue(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\[)(?:{words})[^0-9]{{0,16}}\Z", re.IGNORECASE)  # a mask is no cue


# ---------------------------------------------------------------- resident numbers, cards

_RESIDENT = re.compile(
    rf"(?<![0-9])[0-9]{{2}}(?P<split>{_LINE})[0-9]{{2}}{_LINE}[0-9]{{2}}(?P<gap>{_GAP})[1-8][0-9]{{6}}(?![0-9])"
)
_RESIDENT_CUE = _cue("주민|외국인|등록번호|거소|식별번호|resident|registration|rrn")
_ORDER_CUE = _cue("(?:주문|접수|예약|송장) ?번호|(?:order|invoice|ticket|booking)(?: no| number| id|[ :#])")
_OLDEST = 1930  # who was born earlier got no new number
_LAST_YEAR = 2039  # of birth: no clock is read, so that a text means the same tomorrow
_RANDOM_SINCE = (2020, 10)  # numbers given out from then on have no check digit


def _resident(whole: str, m: re.Match[str]) -> bool:
    """A day that exists, a digit for sex and century, and the check digit where it can be demanded.

    Without it: behind a hyphen, those born since October 2020 and foreigners (who got new numbers); behind a
    cue, all.
    """
    digits = [int(c) for c in _digits(m[0])]
    sex = digits[6]
    year = (1900 if sex in {1, 2, 5, 6} else 2000) + 10 * digits[0] + digits[1]
    month, day = 10 * digits[2] + digits[3], 10 * digits[4] + digits[5]
    if not 1 <= month <= 12 or not 1 <= day <= calendar.monthrange(year, month)[1] or year > _LAST_YEAR:
        return False
    total = sum(w * d for w, d in zip((2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), digits[:12], strict=True))
    if ((11 if sex < 5 else 13) - total % 11) % 10 == digits[12]:
        return bool(m["gap"]) or _alone(whole, *m.span())
    if _cued(whole, m.start(), _RESIDENT_CUE):
        return True
    parted = bool(m["gap"].strip()) and not m["split"] and not _cued(whole, m.start(), _ORDER_CUE)
    return parted and ((year, month) >= _RANDOM_SINCE or (sex >= 5 and year >= _OLDEST))


_FOUR = f"[0-9]{{4}}{_LINE}"
_CARD_LONG = re.compile(rf"(?<![0-9]){_FOUR}{_FOUR}{_FOUR}{_FOUR}[0-9]{{3}}(?![0-9])")
_CARD = re.compile(
    rf"(?<![0-9])(?:{_FOUR}{_FOUR}{_FOUR}[0-9]{{4}}|[0-9]{{4}}{_LINE}[0-9]{{6}}{_LINE}[0-9]{{4,5}}|[0-9]{{12,18}})"
    "(?![0-9])"
)
_ISSUED = re.compile(  # Visa, Mastercard, American Express, Diners, Discover, JCB, UnionPay
    "4(?:.{15}|.{18})|(?:5[1-5]..|222[1-9]|22[3-9].|2[3-6]..|27[01].|2720).{12}|3[47].{13}|3(?:0[0-59]|[689].)"
    ".{11}|(?:6011|65..|64[4-9].).{12}(?:...)?|35(?:2[89]|[3-8].).{12}|(?:2131|1800).{11}|62.{14,17}"
)
_ISSUED_WEAK = re.compile("9.{15}|4.{12}|(?:50|5[6-9]|6.|0604).{10,17}")  # Korean only, old Visa, Maestro
_CARD_CUE = _cue(r"카드|결제|card|credit|debit|visa|master|maestro|amex|(?<![a-z])cc(?![a-z])")


def _card(whole: str, m: re.Match[str]) -> bool:
    """Luhn's check digit, and a length and prefix that are given out; weak ones in fours or behind a cue."""
    digits = _digits(m[0])
    twice = [2 * int(c) for c in digits[-2::-2]]
    if (sum(int(c) for c in digits[::-2]) + sum(d - 9 * (d > 9) for d in twice)) % 10:
        return False
    bare = digits == m[0]
    if bare and not _alone(whole, *m.span()):
        return False
    if _ISSUED.fullmatch(digits):
        return True
    weak = _ISSUED_WEAK.fullmatch(digits) is not None
    return weak and (not bare or _cued(whole, m.start(), _CARD_CUE))


# ---------------------------------------------------------------- addresses on the net

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?[0-9])(?![A-Za-z_])")
_VERSION = re.compile(r"(?:[a-z_]-?|\b(?:v|ver|version|release)[.: ]{0,2}|버전 ?)\Z", re.IGNORECASE)
_IP_CUE = _cue(r"(?<![a-z])ip|서버|주소|접속|server|host|addr|dns|ping")


def _ipv4(whole: str, m: re.Match[str]) -> bool:
    """Four octets that are no version; four single digits, maybe a list, need a cue, a port or a prefix."""
    if _VERSION.search(whole[max(m.start() - 12, 0) : m.start()].rpartition(_END)[2]):
        return False
    if m[0] in {"127.0.0.1", "255.255.255.255"}:
        return False  # nobody's
    behind = whole[m.end() : m.end() + 2]
    addressed = behind[:1] in {":", "/"} and behind[1:].isdigit()
    return len(m[0]) > 7 or addressed or _cued(whole, m.start(), _IP_CUE)


_LABEL = re.compile(":(?!:)|:(?=::)|[.]")
_COLONS = re.compile(":[0-9A-Fa-f]{0,4}:")
_HEX = "0123456789abcdefABCDEF:."


def _ipv6(whole: str) -> Iterator[tuple[int, int]]:
    """What `ipaddress` reads, with two groups, one of them of three signs: a[1::2] and ab::cd are code."""
    m = _COLONS.search(whole)
    while m is not None:
        before, after = whole[max(m.start() - 45, 0) : m.start()], whole[m.end() : m.end() + 45]
        start = m.start() - len(before) + len(before.rstrip(_HEX))
        end = m.end() + len(after) - len(after.lstrip(_HEX))
        while start < end and (_LABEL.match(whole, start) or _in_word(whole[start - 1 : start])):
            start += 1 if _LABEL.match(whole, start) else 1 + max(whole[start:end].find(":"), 0)
        said = whole[start:end].rstrip(".")
        said = said if said.endswith("::") else said.rstrip(":")
        if _is_ipv6(said) and not _in_word(whole[start + len(said) : start + len(said) + 1]):
            yield start, start + len(said)
        m = _COLONS.search(whole, max(end, m.end()))


def _is_ipv6(said: str) -> bool:
    groups = [group for group in said.split(":") if group]
    if len(groups) < 4 and not any(c.isdigit() for c in said):
        return False
    if len(groups) < 2 or max(map(len, groups)) < 3:
        return False
    try:
        ipaddress.IPv6Address(said)
    except ValueError:
        return False
    return True


_AT = (re.compile("@"), re.compile("골뱅이"), re.compile(r"[(\[{] ?(?:[aA][tT]|골뱅이) ?[)\]}]"))
_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-" + "".join(
    chr(code) for code in (*range(0xC0, 0x250), *range(0x300, 0x370)) if code not in {0xD7, 0xF7}
)
_DOMAIN = re.compile(
    "(?:[A-Za-z0-9-]{1,63}+\\.){1,8}(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24})(?![A-Za-z0-9])"
    "|[A-Za-z0-9가-힣-]{1,63}\\.한국"
)
_WELL_KNOWN = re.compile(r".*\.(?:com|net|org|edu|gov|kr|jp|cn|us|uk|de|fr|io)", re.IGNORECASE)
_NO_DOMAIN = re.compile(r".*\.(?:png|jpe?g|gif|svg|webp|css|js|html?|service|socket|timer)", re.IGNORECASE)


def _emails(whole: str) -> Iterator[tuple[int, int]]:
    """LOCAL@DOMAIN; "(at)", 골뱅이 and blanks round the sign where the domain ends as most do."""
    end = 0
    for at in sorted((m for sign in _AT for m in sign.finditer(whole)), key=re.Match.start):
        before = whole[max(at.start() - 65, end) : at.start()]
        name = before[:-1] if before[-1:] == " " else before
        local = name[len(name.rstrip(_LOCAL)) :].lstrip(".-%+")
        if not local or local[-1] == "." or len(local) > 64:
            continue
        blank = whole[at.end() : at.end() + 1] == " "
        domain = _DOMAIN.match(whole, at.end() + blank)
        if domain is None or _NO_DOMAIN.fullmatch(domain[0]):
            continue
        if (at[0] == "@" and name == before and not blank) or _WELL_KNOWN.fullmatch(domain[0]):
            end = domain.end()
            yield at.start() - (len(before) - len(name)) - len(local), end


# ---------------------------------------------------------------- telephone numbers

_AREA = "(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|[678]0|50[2-8]|30[23])"
_KOREAN = re.compile(
    rf"(?<![0-9])\(?(?:(?:\+[{_BLANK}]?|00)82{_GAP}0?{_GAP}|82(?=[^0-9]){_GAP}0?{_GAP}|82(?=1[016-9])|0)"
    rf"(?:(?:1[016-9]{_GAP}|{_AREA}(?=[^0-9]){_GAP})[0-9]{{3,4}}{_GAP}[0-9]{{4}}|{_AREA}[0-9]{{7,8}}"
    rf"|10(?:{_GAP}[0-9]){{8}})(?![0-9])"
)
_COUNTRY = (
    "(?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])"
    "[0-9])"
)
_STEP = f"[{_BLANK}()]{{0,2}}+[{_DASH}./]?+[{_BLANK}()]{{0,2}}+"
_ABROAD = re.compile(
    rf"(?<![0-9A-Za-z])\(?(?P<sign>\+[{_BLANK}]?|00){_COUNTRY}"
    rf"(?P<rest>(?:{_STEP}[0-9]){{6,12}})(?<=[0-9]{{2}})(?![0-9])"
)
_SERVICE = re.compile(
    "(?<![0-9])(?<![0-9][-.])"
    "(1(?:5(?:22|33|44|51|66|77|88|99)|6(?:00|44|6[0168]|70|88)|8(?:00|11|33|55|66|77|99)))"
    f"[{_BLANK}]?[{_BLANK}{_DASH}.)][{_BLANK}]?([0-9]{{4}})(?![-.]?[0-9])(?! [0-9]{{4}}(?![-.)]))"
)
_AMERICAN = re.compile(
    r"(?<![0-9])(?:\+?1[-. ])?(?:\([2-9][0-9]{2}\)[ -]?[2-9][0-9]{2}[-. ]|"
    r"[2-9][0-9]{2}(?P<mark>[-.])[2-9][0-9]{2}(?P=mark))[0-9]{4}(?![0-9])"
)
_CUED_NUMBER = re.compile(
    rf"(?<![0-9])(?<![0-9].)\(?[0-9](?:{_STEP}[0-9]){{6,12}}(?<=[0-9]{{2}})(?![0-9])(?! ?[원명건만억%])"
)
_DATE = re.compile("(?:19|20)[0-9]{2}(?:[^0-9]|[01][0-9][0-3][0-9]\\Z)|.*/")
_PHONE_CUE = _cue(
    r"(?<![a-z])(?:tel|phone|telephone|call|mobile|cell|fax|whatsapp|hotline|dial|ars)(?![a-z])|전화|연락처|휴대폰|핸드폰|팩스|"
    "콜센터|고객센터|대표번호|문의|☎|📞"
)


def _by_itself(whole: str, m: re.Match[str]) -> bool:
    """A number with gaps; a Korean one without them must stand alone, and not be binary."""
    if m[0].isdigit():
        return _alone(whole, *m.span()) and not set(m[0]) <= {"0", "1"}
    return not _begins_late(whole, m.start())


def _abroad(whole: str, m: re.Match[str]) -> bool:
    """After a country code that exists; "00" needs a gap, "+1" ten digits, and a round sum is no number."""
    digits, rest = _digits(m[0]).removeprefix("00"), _digits(m["rest"])
    american = digits.startswith("1")
    if m["sign"] == "00" and (m[0].isdigit() or _begins_late(whole, m.start())):
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
    return not _DATE.match(m[0]) and _cued(whole, m.start(), _PHONE_CUE)


# ---------------------------------------------------------------- all forms


class _Form(NamedTuple):
    kind: str
    fewest: int  # digits in a chain that can hold it
    pattern: re.Pattern[str]
    holds: Callable[[str, re.Match[str]], bool]


_FORMS = (
    _Form("resident", 13, _RESIDENT, _resident),
    _Form("card", 19, _CARD_LONG, _card),
    _Form("card", 12, _CARD, _card),
    _Form("ip", 4, _IPV4, _ipv4),
    _Form("phone", 9, _KOREAN, _by_itself),
    _Form("phone", 7, _ABROAD, _abroad),
    _Form("phone", 8, _SERVICE, _service),
    _Form("phone", 10, _AMERICAN, _by_itself),
    _Form("phone", 7, _CUED_NUMBER, _cued_number),
)


def _by_precedence(whole: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Hits of each form in turn; those of one form do not overlap."""
    if "email" in kinds:
        yield "email", list(_emails(whole))
    if "ip" in kinds:
        yield "ip", list(_ipv6(whole))
    forms = [form for form in _FORMS if form.kind in kinds]
    chains = [(m.start(), m.end(), len(_digits(m[0]))) for m in _CHAIN.finditer(whole)] if forms else []
    for form in forms:
        yield form.kind, [hit for a, b, n in chains if n >= form.fewest for hit in _hits(form, whole, a, b)]


def _hits(form: _Form, whole: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Hits in one chain; what does not hold hides nothing that begins inside it."""
    m = form.pattern.search(whole, max(start - 3, 0), end)
    while m is not None:
        holds = form.holds(whole, m)
        if holds:
            yield m.start() + (m[0][0] == "(" and ")" not in m[0]), m.end()
        m = form.pattern.search(whole, m.end() if holds else m.start() + 1, end)
