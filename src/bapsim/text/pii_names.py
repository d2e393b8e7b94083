"""Names of people: Korean ones by honorific, title or what announces them; English ones likewise.

A name has no form. What stands beside it tells: 김민수 씨, 환자 박지민, "my name is ...". The syllables of a
Korean name must be such as names have, and words that only look like names are left alone. A name with
nothing beside it is found by `bare` only, which touches more than names (docs/results/pii.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bapsim.text.pii_signs import WORDS, either

_NAME = f"(?:(?:{either('double')})[{WORDS['given']}]{{1,2}}|[{WORDS['surnames']}][{WORDS['given']}]{{1,2}})"
_BEHIND = f"(?:{either('particles')})?(?![가-힣])"
_HONOURED = re.compile(rf"(?<![가-힣A-Za-z])({_NAME}) ?(?:{either('titles')})(?:님)?{_BEHIND}")
_LABELLED = re.compile(
    rf"(?<![가-힣])(?:{either('labels')})(?:은|는|이|가)?(?P<mark> ?[:：=] ?| )[\"'(“‘]?(?P<name>{_NAME})"
    rf"(?:님| ?씨)?{_BEHIND}"
)
_SELF = re.compile(
    rf"(?<![가-힣])(?:저는|나는|(?:제|내) ?이름은|이름은|저희 ?[가-힣]{{2,3}}(?:는|은)?) (?P<name>{_NAME})"
    r"(?:입니다|(?:이)?라고 ?(?:합니다|해요)|이에요|예요|인데요?|이고|이며)"
)
_WORDS = frozenset([*WORDS["words"], *(one.removesuffix("님") for one in WORDS["titles"])])
_NOBODY = frozenset(WORDS["nobody"])
_EUN = frozenset(WORDS["eun"])  # 지은, 하은, ...: a name, not a word and its particle
_LAST = frozenset("이가은는을를의도로와과만")  # what more often is a particle
_BARE = re.compile(rf"(?<![가-힣A-Za-z])({_NAME}){_BEHIND}")
_CAPITAL = r"[A-Z][a-z]+(?:['-][A-Z][a-z]+)?"
_FULL = rf"(?P<name>{_CAPITAL}(?: (?:[A-Z]\.|{_CAPITAL})){{0,3}})"
_ENGLISH = (
    re.compile(rf"(?<![A-Za-z])(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Madam|Mx)\.? {_FULL}"),
    re.compile(
        rf"(?<![A-Za-z])(?:[Mm]y name(?: is|'s)|[Tt]his is|[Nn]ame ?[:=]|[Ss]igned(?: by)?:?) ?{_FULL}"
    ),
    re.compile(rf"(?<![A-Za-z])(?:Dear|Hi|Hello|Attn:?|Patient:?|Customer:?) {_FULL}(?=[,:!\n]|\Z)"),
    re.compile(rf"(?:[Ss]incerely|[Rr]egards|[Tt]hanks|[Cc]heers|[Yy]ours),?[ \n]{{1,3}}{_FULL}(?=[\n.]|\Z)"),
)


def names(whole: str) -> Iterator[tuple[int, int]]:
    """Places of names that something announces, in order, none overlapping."""
    return _apart(
        [
            *(m.span(1) for m in _HONOURED.finditer(whole) if m[1] not in _WORDS),
            *(m.span("name") for m in _LABELLED.finditer(whole) if _announced(m)),
            *(m.span("name") for m in _SELF.finditer(whole) if m["name"] not in _WORDS),
            *(m.span("name") for one in _ENGLISH for m in one.finditer(whole) if _somebody(m["name"])),
        ]
    )


def bare(whole: str) -> Iterator[tuple[int, int]]:
    """Places of words of three syllables that could be names, with nothing beside them."""
    return _apart([m.span(1) for m in _BARE.finditer(whole) if len(m[1]) > 2 and _is_name(m[1])])


def _announced(m: re.Match[str]) -> bool:
    """Behind a label: three syllables, or two after a colon."""
    return (len(m["name"]) > 2 or m["mark"] != " ") and _is_name(m["name"])


def _is_name(said: str) -> bool:
    """No word of the language, nor one with its particle."""
    if said in _WORDS or said[:-1] in _WORDS:
        return False
    if said[-1] not in _LAST or len(said) < 3:
        return True
    return said[-1] == "은" and said[-2] in _EUN


def _somebody(said: str) -> bool:
    return said.split(maxsplit=1)[0] not in _NOBODY


def _apart(hits: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    end = -1
    for start, stop in sorted(hits):
        if start >= end:
            end = stop
            yield start, stop
