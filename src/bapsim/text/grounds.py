"""Whether a passage says what a claim says, by its words: found in order, found, contradicted, or not found.

A claim is a sentence. Words are compared without case, Korean particles and English endings, numbers as
numbers. It sees wording, not meaning: what it calls supported stands in the passage nearly as it is, what it
calls unclear may be a paraphrase.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Literal

from bapsim.text.canonical import LONGEST, NUMBER, number

Support = Literal["supported", "contradicted", "unsupported", "unclear"]
SHORT = 4  # tokens: a claim of so few is a name or a date, and has no verb to negate
LONG = 300  # tokens of a claim: more is no sentence
STARTS = 50  # places of a sentence at which a claim may begin: a word that stands more often says nothing
LEAST = 0.7  # share of a claim's content words that the passage has to hold
_SIZES = {"": 1, "천": 10**3, "만": 10**4, "억": 10**8, "조": 10**12}
_COUNTED = "명원개건회번년월일대톤권장마리가구여곳억조달"  # what a size stands before; 만큼, 천천히 are words
_TOKEN = re.compile(
    rf"(?P<number>(?P<value>{NUMBER.pattern})(?:(?P<size>[천만억조])(?=[{_COUNTED}]|[^가-힣]|$))?)"
    r"|[^\W\d_]+|\d+|%"
)
_END = re.compile(r"(?<=[.!?。！？])[\"'”’)\]]*\s+|\n+")
_SPLIT = re.compile(r"(?<=[A-Za-z])(?=[가-힣])|(?<=[가-힣])(?=[A-Za-z])")
_PARTICLE_LIST = (
    "에서는 에게서 으로는 으로써 으로서 이라고 이라는 에서의 에서도 까지는 부터는 께서는 이었다 입니다 "
    "이에요 에서 에게 으로 까지 부터 보다 처럼 만큼 이나 이며 이고 하고 라고 라는 에는 에도 로는 로서 "
    "로써 께서 이다 였다 예요 한테 마다 조차 밖에 은 는 이 가 을 를 의 에 로 와 과 도 만 나 며"
)
_PARTICLES = _PARTICLE_LIST.split()
_HANGUL = re.compile(r"[가-힣]+")
_NOT_LIST = (
    "not no never none nothing nobody neither nor without cannot isn aren wasn weren don doesn didn won "
    "wouldn shouldn couldn hasn haven hadn unable fail fails failed"
)
_NOT_EN = frozenset(_NOT_LIST.split())
_NOT_KO = re.compile(r"^(?:안|못|미)$|않|없|아니|아닌|아닙|못하|못한|못했|불가")
_SMALL_LIST = (
    "a an the of in on at to for by with and or is are was were be been it its this that these those as from "
    "he she they we you i his her their there have has had do does did will would can could may might "
    "이 그 저 것 수 등 및 더 또 또한 그리고 그러나 하지만 있다 있는 있습니다 있었다 한다 합니다 했다 "
    "했습니다 하는 한 할 된 되는 된다 됩니다 됐다 되었다 때 중"
)
_SMALL = frozenset(_SMALL_LIST.split())


def claims(answer: str) -> list[str]:
    """The sentences of a text that hold any word or number."""
    parts = _END.split(answer[:LONGEST])
    return [part.strip() for part in parts if _TOKEN.search(part)]


def tokens(text: str) -> list[str]:
    """Words without case, particles and possessives, and numbers by value, in order."""
    plain = unicodedata.normalize("NFKC", text[:LONGEST]).replace("’", "'").replace("'s ", " ")
    found = []
    for one in _TOKEN.finditer(plain):
        before = plain[one.start() - 1] if one.start() else ""
        if one["number"]:
            value, size = number(one["value"]), _SIZES[one["size"] or ""]
            found.append(one.group() if value is None else str(value * size))
            continue
        parts = _SPLIT.split(one.group().casefold())
        found.append(_stem(parts[0], after=before.isdigit()))  # 년에 of 1998년에: a unit and its particle
        found += [_stem(part, after=False) for part in parts[1:] if part not in _PARTICLES]
    return found


@lru_cache(1 << 16)
def _stem(word: str, *, after: bool) -> str:
    if _HANGUL.fullmatch(word) is None:
        return word
    for particle in _PARTICLES:
        if word.endswith(particle) and len(word) - len(particle) >= (1 if after else 2):
            return word[: -len(particle)]
    return word


def negations(words: Sequence[str]) -> int:
    """How many words deny something."""
    return sum(word in _NOT_EN or _NOT_KO.search(word) is not None for word in words)


def support(claim: str, passage: str) -> Support:
    """What a passage says of one claim.

    supported: its words stand in one sentence in this order, with hardly another between them (none in a
    short claim), and as many negations; contradicted: nearly all of its words are there, and one side denies;
    unsupported: a number is nowhere, or too many words; unclear: anything else, as what is very long.
    """
    said = tokens(claim)
    sentences = [tokens(one) for one in claims(passage)]
    known = {word for one in sentences for word in one}
    if not said or not known:
        return "unsupported"
    if len(said) > LONG:
        return "unclear"
    there = [one for one in sentences if _in_order(said, one)]
    if there:
        same = len(said) <= SHORT or any(negations(one) == negations(said) for one in there)
        return "supported" if same else "contradicted"
    content = [word for word in said if word not in _SMALL]
    if any(_numeric(word) and word not in known for word in content):
        return "unsupported"
    loose = [word for word in content if word in known or any(_alike(word, other) for other in known)]
    if len(loose) < LEAST * len(content):
        return "unsupported"
    nearest = max(sentences, key=lambda one: len(set(one).intersection(said)))
    if len(said) > SHORT and (negations(nearest) > 0) != (negations(said) > 0):
        return "contradicted"
    return "unclear"


def _numeric(word: str) -> bool:
    return word[-1].isdigit()


def _in_order(said: Sequence[str], window: Sequence[str]) -> bool:
    """Whether the words stand in a sentence in this order; up to a quarter as many others may be between."""
    room = len(said) + (len(said) // 4 if len(said) > SHORT else 0)
    starts = (i for i, word in enumerate(window) if word == said[0])
    for start in islice(starts, STARTS):
        at = start
        for word in said[1:]:
            try:
                at = window.index(word, at + 1, start + room)
            except ValueError:
                break
        else:
            return True
    return False


def _alike(one: str, other: str) -> bool:
    """Two forms of one word, roughly: they begin alike, and end within three letters."""
    if one[0] != other[0] or _numeric(one) or _numeric(other):
        return False
    start = 2 if _HANGUL.fullmatch(one) else 4
    return one[:start] == other[:start] and len(one) >= start and abs(len(one) - len(other)) <= 3
