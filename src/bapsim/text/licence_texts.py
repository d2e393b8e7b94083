"""Which licences a text states: their own words, headers that refer to them, and tags, in free text.

Phrases stand in licence_texts.json: what each licence is known by, and by which words its variants differ. No
licence is there whole. Licences of the GNU family are told by their grants: kind, version, "or later".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bapsim.text.gnu_grants import grants, inside, whole_texts
from bapsim.text.spdx import expression, read_table

PHRASES = Path(__file__).with_name("licence_texts.json")
PHRASES_HASH = "0ed48199df6aef04"
LIMIT = 400_000  # letters of a text that are looked at
_BREAK = "¶"  # the end of a paragraph in a file that is written in paragraphs (DEP-5)
_WORDS = re.compile(r"¶|[a-z]+|[가-힣]+|\d+(?:\.\d+)*\+?")
_MARKS = re.compile(r"(?m)^[ \t]*(?:[#*;%>|!\\]+|/{2,}|/\*+|<!--|--|dnl\b|\.(?=[ \t]*$))?[ \t]*")
_DEP5 = re.compile(r"(?m)^format(?:-specification)?:[ \t]*\S")
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n\r]{1,200})")
_CLOSES = re.compile(r"\s*(?:\*/|-->|\*+|#+)?\s*$")


class _Span(NamedTuple):
    start: int
    end: int
    ids: tuple[str, ...]
    covers: bool


def licences(text: str) -> tuple[str, ...]:
    """SPDX identifiers of the licences that a text states, sorted, exceptions behind WITH.

    What a text only forbids or compares is not always told from what it grants; nothing is found where no
    known wording is used.
    """
    text = text[:LIMIT]
    words = _in_words(_TAG.sub("", text))
    whole = whole_texts(words)
    spans = [*_phrases(words), *_creative_commons(words), *(_Span(a, b, (), True) for a, b, _ in whole)]
    covered = _merged(spans)
    begins = {start for start, _ in covered}  # two names of one text may start at one place
    stated = [s for s in spans if not inside(covered, s.start) or (s.covers and s.start in begins)]
    found = {name for one in stated for name in one.ids}
    granted = grants(words, covered)
    or_later = {one.removesuffix("-or-later") for one in granted}
    found |= {name for _, _, name in whole if name.removesuffix("-only") not in or_later}
    return tuple(sorted({*found, *granted, *tagged(text)}))


def _merged(spans: Sequence[_Span]) -> list[tuple[int, int]]:
    """The places that whole texts cover, overlapping ones joined."""
    found: list[tuple[int, int]] = []
    for start, end in sorted((one.start, one.end) for one in spans if one.covers):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def tagged(text: str) -> list[str]:
    """What the tags `SPDX-License-Identifier:` of a text say, as expressions."""
    named = (expression(_CLOSES.sub("", said)) for said in _TAG.findall(text))
    return [one for one in named if one is not None]


def _in_words(text: str) -> str:
    """Words in small letters between blanks, without marks of comments."""
    lower = text.lower().replace("licence", "license")
    plain = _MARKS.sub("", lower)
    if _DEP5.search(lower, 0, 4000) is not None:
        lines = [
            _BREAK if not one.strip() else said
            for one, said in zip(lower.split("\n"), plain.split("\n"), strict=True)
        ]
        plain = "\n".join(lines)
    return f" {' '.join(_WORDS.findall(plain))} "


# ---------------------------------------------------------------- Creative Commons

_CC = re.compile(
    r" (?:creative commons|cc) (?:by|attribution)"
    r"(?P<more>(?: non ?commercial| nc| share ?alike| sa| no ?deriv[a-z]*| nd| works| by)*)"
    r"(?: licensed?| public| international| unported| generic| version| v| under| the){0,9}"
    r"(?: (?P<version>[1-4]\.\d))?(?= )"
    r"| creativecommons org licenses (?P<url>by(?: nc| sa| nd)*)(?: (?P<urlversion>[1-4]\.\d))?(?= )"
)
_CC_TEXT = (
    " by exercising the licensed rights ",
    " is provided under the terms of this creative commons public license ",
)
_PARTS = (("NC", "nc|non ?commercial"), ("SA", "sa|share ?alike"), ("ND", "nd|no ?deriv"))


def _creative_commons(words: str) -> Iterator[_Span]:
    """Creative Commons licences by name or address; a whole text covers what it mentions."""
    found: list[tuple[int, str, str | None]] = []
    for m in _CC.finditer(words):
        said = m["url"] or m["more"]
        parts = [short for short, pattern in _PARTS if re.search(rf"(?<![a-z])(?:{pattern})", said)]
        found.append((m.start(), "-".join(["BY", *parts]), m["version"] or m["urlversion"]))
    versions = {name for _, name, version in found if version is not None}
    for at, name, version in found:
        if version is not None:
            yield _Span(at, at, (f"CC-{name}-{version}",), covers=False)
        elif name not in versions:
            yield _Span(at, at, (f"LicenseRef-CC-{name}",), covers=False)
    for text in _CC_TEXT:
        if (at := words.find(text)) >= 0:
            yield _Span(at, at + 25_000, (), covers=True)


# ---------------------------------------------------------------- phrases


@dataclass(frozen=True)
class _Case:
    ids: tuple[str, ...]
    has: tuple[tuple[str, ...], ...] = ()
    lacks: tuple[tuple[str, ...], ...] = ()

    def fits(self, words: str) -> bool:
        return all(any(one in words for one in group) for group in self.has) and not any(
            any(one in words for one in group) for group in self.lacks
        )


@dataclass(frozen=True)
class _Rule:
    find: re.Pattern[str]
    literal: tuple[str, ...]
    span: int
    covers: int
    cases: tuple[_Case, ...] = field(default=())


def _said(phrase: str) -> str:
    """A phrase as it stands among words; a star is a few words of any kind."""
    parts = phrase.lower().replace("licence", "license").split("*")
    return " * ".join(" ".join(_WORDS.findall(part)) for part in parts)


def _groups(said: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(map(_said, one.split("|"))) for one in said)


@cache
def _rules() -> tuple[_Rule, ...]:
    raw: list[dict[str, Any]] = read_table(PHRASES, PHRASES_HASH)
    return tuple(_rule(one) for one in raw)


def _rule(raw: dict[str, Any]) -> _Rule:
    phrases = [_said(one) for one in raw["find"]]
    either = [re.escape(one).replace(r"\ \*\ ", " (?:[^ ]+ ){0,14}?").replace(r"\ ", " ") for one in phrases]
    cases = raw.get("cases", [raw])
    return _Rule(
        find=re.compile(f" (?:{'|'.join(either)})(?= |(?<=[가-힣])[가-힣])"),  # a particle may follow
        literal=tuple(one.split(" * ")[0] for one in phrases),
        span=raw.get("span", 1800),
        covers=raw.get("covers", 0),
        cases=tuple(
            _Case(
                tuple(filter(None, one["id"].split(" AND "))),
                _groups(one.get("has", ())),
                _groups(one.get("lacks", ())),
            )
            for one in cases
        ),
    )


def _phrases(words: str) -> Iterator[_Span]:
    for rule in _rules():
        if not any(one in words for one in rule.literal):
            continue
        places = [m.start() for m in rule.find.finditer(words)]
        for at, after in zip(places, [*places[1:], len(words)], strict=False):
            end = min(after, at + rule.span)
            stop = words.find(_BREAK, at, end)
            window = words[at : end if stop < 0 else stop]
            case = next((one for one in rule.cases if one.fits(window)), None)
            if case is not None:
                yield _Span(at, _until_break(words, at, rule.covers), case.ids, rule.covers > 0)


def _until_break(words: str, at: int, letters: int) -> int:
    """Where a text that begins at a place ends: after so many letters, or with its paragraph."""
    stop = words.find(_BREAK, at, at + letters)
    return at + letters if stop < 0 else stop
