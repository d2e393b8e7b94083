"""Types of columns, inferred once over everything, never so that a value changes.

`007`, `1.10` beside `1.1`, `NA`, and numbers with more digits than float64 holds stay text; what JSON wrote
in quotes is text. Types are names that a person can read in the recipe and change; `typed` applies them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute

from bapsim.core.records import Answer
from bapsim.gather.chunk import KINDS, Chunk
from bapsim.gather.types import LISTS, fits_list, name_of, parsed, without, written
from bapsim.text.targets import NONE, labels_in

pc: Any = pyarrow.compute

DISTINCT = 10_000  # counted up to here
UNIQUE = 1_000_000  # up to here a column may be shown to hold no value twice
STRAYS = 5  # so many texts in a column of numbers may stand for "nothing"
DIGITS = 17  # significant digits that float64 gives back as they were
INT = r"^(0|-?[1-9][0-9]{0,18})$"
FLOAT = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
CODE = re.compile("0[0-9]+")  # digits that name something
NUMERIC = re.compile(r"u?int\d+|float\d*|double|decimal.*")
FEW = 20  # numbers of a target, up to which they are rather names than measurements
BOOLS = ({"true", "false"}, {"True", "False"}, {"TRUE", "FALSE"})


@dataclass(frozen=True, kw_only=True)
class Column:
    """What one column holds.

    type: a name that `types.arrow_type` knows; distinct: counted up to DISTINCT; shortest, longest, mean:
    characters; unique: no value twice, none missing; strays: the few texts that alone keep a column of
    numbers from being one, with their counts; none of a column of codes such as 007.
    """

    name: str
    type: str
    rows: int
    nulls: int
    distinct: int
    unique: bool
    shortest: int
    longest: int
    mean: float
    examples: tuple[str, ...]
    strays: tuple[tuple[str, int], ...] = ()

    @property
    def filled(self) -> int:
        return self.rows - self.nulls


@dataclass(frozen=True, kw_only=True)
class Schema:
    """All columns of a source, its counts, and guesses which columns are the id, the input and the target."""

    columns: tuple[Column, ...]
    rows: int
    unread: Mapping[str, int]
    id: str | None
    text: str | None
    target: str | None

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.columns}


@dataclass
class _Seen:
    """What is known of a column while it is read."""

    kinds: set[str] = field(default_factory=set)
    native: set[str] = field(default_factory=set)  # types that files brought with them
    text: bool = False  # whether a file brought text
    possible: set[str] = field(default_factory=lambda: {"int64", "float64", "bool", *LISTS})
    flags: set[str] = field(default_factory=set)
    filled: int = 0
    hashes: set[int] = field(default_factory=set)
    repeated: bool = False
    shortest: int | None = None
    longest: int = 0
    characters: int = 0
    values: dict[str, None] = field(default_factory=dict)
    numbers: dict[float, str] = field(default_factory=dict)
    numeric: int = 0
    strays: Counter[str] = field(default_factory=Counter)


def infer(source: Iterable[Chunk], *, nulls: Sequence[str] = (), known: Container[str] = ()) -> Schema:
    """One schema over all chunks; `nulls` are texts that mean that there is no value; `known` columns are not
    looked at."""
    seen: dict[str, _Seen] = {}
    rows, unread = 0, Counter[str]()
    for chunk in source:
        for at, column in zip(chunk.rows.schema, chunk.rows.columns, strict=True):
            one = seen.setdefault(at.name, _Seen())
            if at.name not in known:
                _look(one, column, at.metadata, nulls)
        rows += len(chunk.rows)
        unread.update(one.reason for one in chunk.unread)
    columns = tuple(_column(name, one, rows) for name, one in seen.items())
    key = guess_id(columns)
    target = guess_target([c for c in columns if c.name != key])
    text = guess_text([c for c in columns if c.name not in (key, target)])
    return Schema(columns=columns, rows=rows, unread=dict(unread), id=key, text=text, target=target)


def _look(seen: _Seen, column: Any, metadata: Mapping[bytes, bytes] | None, nulls: Sequence[str]) -> None:
    """Adds one chunk of a column to what is known of it."""
    if metadata is None or KINDS not in metadata:
        seen.native.add(name_of(column.type))
        seen.kinds.update(_native_kind(column.type))
    else:
        seen.kinds.update(metadata[KINDS].decode().split())
        seen.text = True
        column = without(column, nulls)
    text = written(column.drop_null())
    if len(text) == 0:
        return
    lengths = pc.utf8_length(text)
    extent = pc.min_max(lengths).as_py()
    seen.shortest = extent["min"] if seen.shortest is None else min(seen.shortest, extent["min"])
    seen.longest = max(seen.longest, extent["max"])
    seen.characters += pc.sum(lengths).as_py()
    seen.filled += len(text)
    values = pc.unique(text)
    _count(seen, values, len(text))
    _narrow(seen, values)
    _stray(seen, text)


def _stray(seen: _Seen, text: Any) -> None:
    """Counts the texts in a column of numbers that are none, until there are too many of them."""
    if len(seen.strays) > STRAYS:
        return
    number = pc.match_substring_regex(text, FLOAT)
    seen.numeric += pc.sum(number).as_py()
    strange = text.filter(pc.invert(number))
    for value in pc.value_counts(strange)[: STRAYS + 1]:
        seen.strays[value["values"].as_py()] += value["counts"].as_py()


def _native_kind(kind: Any) -> list[str]:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return ["number"]
    return ["bool"] if pa.types.is_boolean(kind) else [] if pa.types.is_null(kind) else ["string"]


def _count(seen: _Seen, values: Any, rows: int) -> None:
    """Distinct values and whether one came twice; long texts and measurements are not followed to the end."""
    many = len(seen.hashes) > DISTINCT
    measured = "int64" not in seen.possible and "float64" in seen.possible
    if many and (seen.repeated or seen.longest > 200 or measured or len(seen.hashes) > UNIQUE):
        seen.repeated = True
        return
    before = len(seen.hashes)
    seen.hashes.update(map(hash, values.to_pylist()))
    seen.repeated = seen.repeated or len(values) < rows or len(seen.hashes) < before + len(values)
    for value in values[:3].to_pylist() if len(seen.values) < 3 else []:
        seen.values[value] = None


def _narrow(seen: _Seen, values: Any) -> None:
    """Strikes the types that these values rule out."""
    if "int64" in seen.possible and not _ints(values):
        seen.possible.discard("int64")
    if "float64" in seen.possible and not _floats(seen, values):
        seen.possible.discard("float64")
    if "bool" in seen.possible:
        seen.flags.update(values[:3].to_pylist())
        if not any(seen.flags <= style for style in BOOLS):
            seen.possible.discard("bool")
    lists = seen.possible & LISTS.keys()
    if lists and seen.kinds != {"array"}:
        seen.possible -= lists
    elif lists:
        for value in parsed(values):
            seen.possible -= {name for name in seen.possible & LISTS.keys() if not fits_list(value, name)}


def _ints(values: Any) -> bool:
    if not pc.all(pc.match_substring_regex(values, INT)).as_py():
        return False
    try:
        values.cast(pa.int64())
    except pa.ArrowInvalid:
        return False  # past 2^63
    return True


def _floats(seen: _Seen, values: Any) -> bool:
    """Whether float64 holds each value, and no two texts of cells are one number (versions: 1.1 and 1.10)."""
    if not pc.all(pc.match_substring_regex(values, FLOAT)).as_py():
        return False
    numbers = values.cast(pa.float64())
    if not pc.all(pc.is_finite(numbers)).as_py():
        return False
    for said, number in zip(values.to_pylist(), numbers.to_pylist(), strict=True):
        if len(said) > 15 and not _holds(said, number, "cell" in seen.kinds):
            return False
        if (
            "cell" in seen.kinds
            and len(seen.numbers) < DISTINCT
            and seen.numbers.setdefault(number, said) != said
        ):
            return False
    return True


def _holds(said: str, number: float, strict: bool) -> bool:
    if re.fullmatch(r"-?[0-9]+", said):
        return abs(number) <= 2**53
    digits = re.sub(r"[eE].*|[-.]", "", said).lstrip("0")
    return not strict or len(digits) <= DIGITS


def _column(name: str, seen: _Seen, rows: int) -> Column:
    kind = _type(seen)
    few = kind == "string" and seen.numeric > 0 and 0 < len(seen.strays) <= STRAYS
    few = few and not any(CODE.fullmatch(stray) for stray in seen.strays)
    return Column(
        name=name,
        type=kind,
        rows=rows,
        nulls=rows - seen.filled,
        distinct=min(len(seen.hashes), DISTINCT),
        unique=not seen.repeated and seen.filled == rows and rows > 0,
        shortest=seen.shortest or 0,
        longest=seen.longest,
        mean=seen.characters / max(seen.filled, 1),
        examples=tuple(value[:80] for value in seen.values),
        strays=tuple(seen.strays.most_common()) if few else (),
    )


def _type(seen: _Seen) -> str:
    """The narrowest type that changes nothing."""
    if len(seen.native) == 1 and not seen.text:
        return next(iter(seen.native))
    if seen.kinds and seen.kinds <= {"cell", "number"}:
        choice = ("int64", "float64", *(["bool"] if seen.kinds == {"cell"} else []))
        return next((kind for kind in choice if kind in seen.possible and seen.filled), "string")
    if seen.kinds == {"bool"}:
        return "bool"
    if seen.kinds == {"array"}:
        return next((kind for kind in LISTS if kind in seen.possible), "json")
    return "json" if seen.kinds and seen.kinds <= {"array", "object"} else "string"


# ---------------------------------------------------------------- which column is what

_IDS = re.compile(r"(^|[^a-z])(id|uid|uuid|guid|key|번호|아이디|순번)$")
_TEXTS = (
    "text sentence utterance question query message content review document comment body 문장 내용 질문 본문"
)
_TARGETS = (
    "label target intent class category sentiment y gold outcome "
    "라벨 레이블 정답 분류 감정 감성 긍부정 의도 유형 구분 종류 판정 결과"
)
_SETS = f"labels tags topics categories genres 태그 주제 {_TARGETS}"
_MEASURES = "score rating price amount value 점수 평점 가격 금액 수치 값"
_DATES = re.compile(
    r"(^|[^a-z])(date|day|time|at|year|month)$|(일자|날짜|일시|시각|접수일|등록일|작성일|생성일|연도|년월)$"
)
_DAY = re.compile(r"\s*\d{2,4}\s*[-./년]\s*\d{1,2}(\s*[-./월]\s*\d{1,2}|$)|\s*\d{1,2}:\d{2}")
_CODE = re.compile(r"(?=.*[0-9])[!-~]+")
MOMENT = 40  # characters of a date with a time and a zone, at most
SPLITS = ("split", "fold", "subset", "partition", "분할", "데이터셋구분")
_NOT_TARGETS = (
    *SPLITS,
    *["lang", "language", "source", "domain", "date", "time", "index", "언어", "출처", "도메인", "순서"],
)


def guess_id(columns: Sequence[Column]) -> str | None:
    """A column whose values are short, present and all different, and whose name says so; never the text."""
    for column in columns:
        short = column.longest <= 64 and column.type in ("int64", "string")
        if column.unique and short and _IDS.search(column.name.lower()) is not None:
            return column.name
    return None


def guess_text(columns: Sequence[Column]) -> str | None:
    """The text column: by its name, else the one with the longest values; never dates or times.

    Codes, such as serial numbers or addresses of pages, are the text only where nothing else can be read.
    """
    texts = [c for c in columns if c.type == "string" and c.filled and not _is_moment(c)]
    named = _by_name(texts, _TEXTS)
    if named is not None:
        return named
    longest = max(texts, key=lambda c: c.mean, default=None)
    if longest is None or longest.mean < 12:
        return None
    if not _is_code(longest):
        return longest.name
    others = [c for c in columns if c is not longest and not _is_date(c)]
    if any(NUMERIC.fullmatch(c.type) or _is_target(c) for c in others):
        return guess_text([c for c in columns if not _is_code(c)])
    return longest.name


def guess_target(columns: Sequence[Column]) -> str | None:
    """A column with few distinct values, with lists, or with numbers: by its name; else the last one with few
    values, else with lists, else a number that is named like a measurement.
    """
    few = [c for c in columns if _is_target(c)]
    lists = [c for c in columns if c.type in ("list<string>", "list<int64>") and c.filled]
    numbers = [c for c in columns if NUMERIC.fullmatch(c.type) and c.distinct > FEW]
    named = [c for c in columns if _is_target(c, 2)]  # a name says more than how often values come again
    surely = [_by_name(named, _TARGETS), _by_name(lists, _SETS), _by_name(numbers, "target y")]
    rest = [c.name for c in few if c.name.lower() not in _NOT_TARGETS and not _is_date(c)]
    perhaps = [*rest[-1:], *(c.name for c in lists[-1:]), _by_name(numbers, _MEASURES)]
    return next((name for name in (*surely, *perhaps) if name is not None), None)


def guess_answer(kind: str, counts: Mapping[str, int]) -> Answer:
    """What a target column of this type says, given its texts and how often each stands there.

    Numbers are a number from more than FEW different ones on, but for codes of classes: 0 or 1 to k without
    a gap, each several times; else they are names of classes. Texts are sets where they are JSON lists, where
    one is [], or where some have a ; or | in them and the parts come again in others: there are fewer labels
    than texts.
    """
    if kind.startswith("list<"):
        return "labels"
    if NUMERIC.fullmatch(kind):
        return "number" if len(counts) > FEW and not _are_codes(counts) else "class"
    if NONE in counts or (counts and all(re.fullmatch(r"\[.*\]", said) for said in counts)):
        return "labels"
    parts = labels_in(counts) if any(re.search("[;|]", said) for said in counts) else []
    short = all(len(part) <= 40 for part in parts)
    return "labels" if parts and short and len(parts) < len(counts) else "class"


def _are_codes(counts: Mapping[str, int]) -> bool:
    values = sorted(int(said) for said in counts if re.fullmatch("[0-9]{1,4}", said))
    whole = len(values) == len(counts) and values[0] in (0, 1) and values[-1] - values[0] < len(values)
    return whole and min(counts.values()) >= 3


def _is_date(column: Column) -> bool:
    """Cells that look like days or times of day, or a name that says so."""
    named = _DATES.search(column.name.lower()) is not None
    return named or (bool(column.examples) and all(_DAY.match(cell) for cell in column.examples))


def _is_moment(column: Column) -> bool:
    """Dates or times and nothing else, where a text may begin with one."""
    return _is_date(column) and column.longest <= MOMENT


def _is_code(column: Column) -> bool:
    """Cells like SN-2026-00012: Latin letters and digits without a blank."""
    return bool(column.examples) and all(_CODE.fullmatch(cell) for cell in column.examples)


def _is_target(column: Column, often: int = 5) -> bool:
    """Whether a column has few enough values to be a label: each comes `often` times, on average."""
    most = max(2, min(1000, column.filled // often))
    return column.type in ("string", "int64", "bool") and 2 <= column.distinct <= most and column.mean <= 40


def _by_name(columns: Sequence[Column], names: str) -> str | None:
    by_name = {column.name.lower(): column.name for column in reversed(columns)}
    return next((by_name[name] for name in names.split() if name in by_name), None)
