"""Personal data: numbers and addresses that have a form, and names and places that something announces.

A few passes over all texts end to end find what could hold a number or an address (a clean text costs no
more); only there are forms tried, and dates and check digits verified. Every repetition is bounded, so the
work grows with the text and not faster. What is claimed of each kind, and what is not found: docs/pii.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.errors import RecipeError
from bapsim.text import pii_net, pii_numbers, pii_papers, pii_phones
from bapsim.text.pii_names import bare, names
from bapsim.text.pii_places import addresses
from bapsim.text.pii_signs import CHAIN, END, Form, Ints, begins_of, digits_of, make_plain

# Where two overlap, the earlier kind stands. The first nine have digits or an @ in a form; KINDS is what is
# looked for where nothing else is said, PEOPLE where people speak; a bare name is looked for on demand only.
ALL = (
    "email",
    "resident",
    "card",
    "ip",
    "phone",
    "business",
    "account",
    "passport",
    "licence",
    "address",
    "name",
    "bare_name",
)
KINDS, PEOPLE = ALL[:9], ALL[:11]
_FORMS = (
    *pii_numbers.FORMS,
    *pii_net.FORMS,
    *pii_papers.CHECKED,
    *pii_phones.FORMS,
    *pii_papers.FORMS,
)
_ROUNDS = 8


class Spans(NamedTuple):
    """int64[k] each, by text and place, none overlapping: the text's number, the kind's place in ALL, and
    the code points [start, end) of the text as it was given.
    """

    texts: Ints
    kinds: Ints
    starts: Ints
    ends: Ints


def known_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The kinds in the order of ALL; raises RecipeError for a name that is none of them."""
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    unknown = [kind for kind in wanted if kind not in ALL]
    if unknown or not wanted:
        raise RecipeError("unknown_pii_kind", kinds=", ".join(unknown) or "()", known=", ".join(ALL))
    return tuple(kind for kind in ALL if kind in wanted)


def find(texts: Sequence[str | None], kinds: Sequence[str] = KINDS) -> Spans:
    """Where these texts hold personal data of these kinds; None is an empty text."""
    plain = ["" if text is None else text for text in texts]
    whole, begins = END.join(plain), begins_of(plain)
    places = make_plain(plain, whole, begins)
    if places:
        whole, begins = END.join(plain), begins_of(plain)
    spans = np.empty((3, 0), np.int64)  # starts, ends, kinds
    for kind, hits in _by_precedence(whole, known_kinds(kinds)):
        if not hits:
            continue
        new = np.array(hits, np.int64).reshape(-1, 2).T
        after = np.searchsorted(spans[1], new[0], side="right")
        new = new[:, np.append(spans[0], len(whole) + 1)[after] >= new[1]]
        named = np.vstack([new, np.full(new.shape[1], ALL.index(kind))])
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
            parts += [text[end : int(spans.starts[i])], _mask_of(int(spans.kinds[i]))]
            end = int(spans.ends[i])
        out[int(spans.texts[rows[0]])] = "".join([*parts, text[end:]])
    return out


def _mask_of(kind: int) -> str:
    """What stands in place of a span of the kind at this place in ALL."""
    return f"[{ALL[kind].removeprefix('bare_').upper()}]"


def redact(said: str) -> tuple[str, int]:
    """What a person says, without anything of PEOPLE, and how much was taken out."""
    texts, hits = scrub([said], PEOPLE)
    return texts[0] or "", int(hits[0])


def scrub(texts: Sequence[str | None], kinds: Sequence[str] = KINDS) -> tuple[list[str | None], Ints]:
    """The texts masked until nothing is found in them any more, and int64[n]: how much was masked in each.

    A text in which masks go on uncovering more (no text of a person's does) loses all its digits.
    """
    kinds, out, hits = known_kinds(kinds), list(texts), np.zeros(len(texts), np.int64)
    in_digits = set(kinds) <= {*KINDS, "address"}
    left = np.flatnonzero([not (in_digits and _is_clean(text)) for text in texts])
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
    """How many spans there are of each of KINDS, none left out, and of others that were found."""
    found = dict(zip(ALL, np.bincount(spans.kinds, minlength=len(ALL)).tolist(), strict=True))
    return {kind: count for kind, count in found.items() if count or kind in KINDS}


def _by_precedence(whole: str, kinds: tuple[str, ...]) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Hits of each form in turn; those of one form do not overlap."""
    if "email" in kinds:
        yield "email", list(pii_net.emails(whole))
    if "ip" in kinds:
        yield "ip", list(pii_net.ipv6(whole))
    forms = [form for form in _FORMS if form.kind in kinds]
    chains = [(m.start(), m.end(), len(digits_of(m[0]))) for m in CHAIN.finditer(whole)] if forms else []
    for form in forms:
        yield form.kind, [hit for a, b, n in chains if n >= form.fewest for hit in _hits(form, whole, a, b)]
    for kind, look in (("address", addresses), ("name", names), ("bare_name", bare)):
        if kind in kinds:
            yield kind, list(look(whole))


def _hits(form: Form, whole: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Hits in one chain; what does not hold hides nothing that begins inside it."""
    m = form.pattern.search(whole, max(start - form.reach, 0), end)
    while m is not None:
        holds = form.holds(whole, m)
        if holds:
            yield m.start() + (m[0][0] == "(" and ")" not in m[0]), m.end()
        m = form.pattern.search(whole, m.end() if holds else m.start() + 1, end)
