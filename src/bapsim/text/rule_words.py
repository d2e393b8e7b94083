"""Rules as people say them, read and said: "contains 'refund' and not 'card'", "환불이 있고 카드가 없으면".

A sentence is read as terms between connectives. What stands between quotation marks is one term, whatever it
is; other words are terms unless they are of the words that such sentences are made of. Nothing is guessed in
silence: who asks shows the rule that was read, and what it was to conclude ("... then refund") is given back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from bapsim.core.errors import InputError, text
from bapsim.text.rules import Rule

Why = Literal["no_term", "two_choices", "mixed_choice", "term"]
LONGEST = 2000  # code points of a sentence that are read

_QUOTES = [tuple(pair) for pair in ('""', "“”", "‘’", "''", "「」", "『』", "``", "«»")]
_QUOTED = "|".join(  # the apostrophe of don't ends nothing
    rf"(?<![A-Za-z0-9]){a}((?:[^{b}\n]|(?<=[A-Za-z]){b}(?=[A-Za-z]))*){b}(?![A-Za-z0-9])" for a, b in _QUOTES
)
_TOKEN = re.compile(rf"{_QUOTED}|=>|->|→|⇒|&&|\|\||[,;/+&|!()-]|[^\s,;/+&|!()→⇒\"“”‘「」『』`«»]+")
_WORDS = {
    "and": "and plus & && + 그리고 및 또 동시에 함께",
    "but": "but yet however 하지만 그런데 대신",
    "or": "or nor / | || 또는 혹은 아니면 내지",
    "not": "not no ! - never lacks lacking missing isn't don't doesn't hasn't haven't aren't cannot nothing",
    "without": "without except excluding unless neither",
    "has": "contains contain containing mentions mention mentioning includes include including has have"
    " having with says say asks about there's",
    "choice": "either any one 하나라도 하나 하나가 하나도 중 중에",
    "both": "both all 둘 모두",
    "comma": ", ;",
    "then": "then => -> → ⇒",
    "": "if when whenever it its the a an text texts message sentence customer user someone somebody word"
    " words term terms phrase phrases there is are be of them these those must should does do also they row"
    " question talks that ( ) 만약 만일 글에 문장에 다 라고 이라고 라는 이라는 단어 말 표현 문구 글자"
    " 단어가 말이 표현이 문구가 단어는 말은 표현은 단어도 말도 단어를 말을 적어도 글 글은",
    "case": "때 때는 때에 때엔 경우 경우에 경우엔 경우는",
}
_MEANS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_LATER = re.compile(r",\s*(?=(?:then|so|it'?s|it is|that'?s|this is|label)\b)", re.IGNORECASE)
_INTRO = re.compile(r"^[\s,]*(?:then|so)?\s*(?:it'?s|it is|that'?s|this is|label(?: is)?)?\s+", re.IGNORECASE)

# A Korean predicate says of the terms before it whether they are there; each stem of the second row turns
# what was said so far round: 없으면, 있지 않으면, 없지 않으면.
_THERE = "있|들어|포함|나오|나온|나와|언급|보이|등장|쓰이|쓰인|담기|담긴|말하|말한|물어|적혀|적힌"
_AWAY = "없|않|제외|빼|빠지|빠진|아니|아닌|말고|안|못"
_ENDING = "고|며|면|으|는|은|을|지|거나|되|하|된|한|할|될|됐|했|어|아|음|이|있|없|않|다|든|습니다|가|보"
_STEM = re.compile(f"(?P<away>{_AWAY})|{_THERE}")
_PREDICATE = re.compile(f"(?:{_THERE}|{_AWAY})(?:$|{_ENDING})")
_GLUED = re.compile(r"(.{2,}?)((?:있|없)(?:으면|고|는데|지만|거나|이|음|는|을)?)")
_ENDS_IF, _ENDS_OR = re.compile("(?:면|경우|때)$"), re.compile("(?:거나|든지|든가)$")

# Particles as they follow a closed and an open syllable, by what they connect; "" = nothing.
_PARTICLES = {
    "or": (("이나", "나"), ("이든", "든")),
    "and": (("이랑", "랑"), ("과", "와"), ("하고", "하고")),
    "": (
        *(("이라는", "라는"), ("이라고", "라고"), ("이란", "란")),
        *(("이", "가"), ("은", "는"), ("을", "를"), ("도", "도"), ("만", "만")),
    ),
}


class Reading(NamedTuple):
    """What was read: a rule, or why there is none; rest: what the sentence concludes, "" = nothing."""

    rule: Rule | None
    why: Why | None
    rest: str


class _Term(NamedTuple):
    """A term; there: it must be; joined: "and" or "or", to the term before."""

    said: str
    there: bool
    joined: str


def read_rule(said: str) -> Reading:
    """What a person wrote, as a rule: "환불이 있고 카드가 없으면 refund" has the rest "refund"."""
    said = re.sub("(?<=[A-Za-z])\u2019(?=[A-Za-z])", "'", said[:LONGEST]).replace("\0", " ")
    later = _LATER.search(said)
    head, rest = (said, "") if later is None else (said[: later.start()], _bare(said[later.end() :]))
    reader = _Reader()
    for token in _TOKEN.finditer(head):
        quoted = next((one for one in token.groups() if one is not None), None)
        if reader.take(token[0], quoted):
            rest = _bare(head[token.end() :]) or rest
            break
    if not reader.terms:
        return Reading(None, "no_term", rest)
    return _assembled(reader.terms, rest)


def _bare(said: str) -> str:
    """A conclusion without the words that introduce it."""
    return _INTRO.sub("", " " + said).strip(" .!\"'“”‘’`")


# ---------------------------------------------------------------- words to terms


@dataclass
class _Reader:
    """Terms so far; open_: where those begin that a predicate may still speak of; last: the piece before.

    there, sticky: what a "not" or "without" before the next term makes of it; joined: how that goes on;
    choice: commas mean "or"; away: what the predicate that is being read says.
    """

    terms: list[_Term] = field(default_factory=list)
    open_: int = 0
    said_of: int = 0
    last: str = ""
    there: bool = True
    sticky: bool = False
    joined: str = "and"
    choice: bool = False
    away: bool = False

    def take(self, token: str, quoted: str | None) -> bool:
        """Read on by one token; true where the condition ends with it."""
        if quoted is not None:
            self._term(quoted, "quoted")
            return False
        word = token.strip(".?:") or token
        kind = _MEANS.get(word.casefold())
        if self.last == "quoted" and kind is None:
            word, kind = _after_quote(word)
        if kind == "then" or (kind == "case" and self.last == "predicate"):
            return True
        if kind is not None:
            self._connective(kind)
            return False
        return self._word(word)

    def _connective(self, kind: str) -> None:
        if kind in ("and", "but", "or"):
            self.joined = "or" if kind == "or" else "and"
            self.sticky &= kind != "but"
            self.choice &= kind == "or"
            self.there |= kind != "or" and not self.sticky
        elif kind in ("not", "without"):
            self.there, self.sticky = False, kind == "without"
        elif kind == "has" and self.last not in ("not", "without"):
            self.there, self.sticky = True, False
        elif kind == "choice":
            self.choice = True
            more = (one._replace(joined="or") for one in self.terms[self.open_ + 1 :])
            self.terms[self.open_ + 1 :] = list(more)
        elif kind == "both":
            self.choice = False
        self.last = kind or self.last

    def _word(self, word: str) -> bool:
        if word[:1] in "-!" and len(word) > 1:
            self._connective("not")
            word = word[1:]
        if self.terms and _PREDICATE.match(word):
            return self._predicate(word)
        glued = _GLUED.fullmatch(word)
        if glued is not None:
            self._word(glued[1])
            return self._predicate(glued[2])
        stem, kind = _particle(word)
        self._term(stem, "whole" if stem != word else "open")
        if kind:
            self._connective(kind)
        return False

    def _term(self, said: str, form: str) -> None:
        """A new term, or, of words that follow one another, a longer one."""
        if self.last == "open" and form != "quoted":
            self.terms[-1] = self.terms[-1]._replace(said=f"{self.terms[-1].said} {said}")
        else:
            self.terms.append(_Term(said, self.there, self.joined))
        self.joined = "or" if self.choice else "and"
        self.last = form

    def _predicate(self, word: str) -> bool:
        """What a Korean predicate, of one word or several, says of the terms before it."""
        if self.last != "predicate":
            self.said_of, self.away = self.open_ if self.open_ < len(self.terms) else self.said_of, False
        for hit in _STEM.finditer(word):
            self.away ^= hit.lastgroup is not None
        mine = self.terms[self.said_of :]
        self.terms[self.said_of :] = [one._replace(there=not self.away) for one in mine]
        self.open_, self.choice, self.there, self.sticky = len(self.terms), False, True, False
        self.joined = "or" if _ENDS_OR.search(word) else "and"
        self.last = "predicate"
        return _ENDS_IF.search(word) is not None


def _after_quote(word: str) -> tuple[str, str | None]:
    """What stands behind a quotation mark without a blank: a particle, or the particle's connective."""
    for kind, pairs in _PARTICLES.items():
        if any(word in pair for pair in pairs):
            return word, kind
    return word, None


def _particle(word: str) -> tuple[str, str]:
    """A word without its particle, and what that connects ("and", "or", "" = nothing)."""
    for kind, pairs in _PARTICLES.items():
        for closed, opened in pairs:
            for particle in (closed, opened):
                stem = word.removesuffix(particle)
                if stem != word and _fits(stem, particle == closed, particle == opened):
                    return stem, kind
    return word, ""


def _fits(stem: str, closed: bool, opened: bool) -> bool:
    """Whether a particle that follows a closed or an open syllable follows this stem."""
    if not stem or not "가" <= stem[-1] <= "힣":
        return bool(stem)
    ends_closed = (ord(stem[-1]) - ord("가")) % 28 > 0
    return len(stem) > 1 and (closed if ends_closed else opened)


# ---------------------------------------------------------------- terms to a rule


def _assembled(terms: list[_Term], rest: str) -> Reading:
    """Groups of alternatives: one may be a choice of what is there; what is absent is absent, each of it."""
    groups: list[list[_Term]] = []
    for one in terms:
        if groups and one.joined == "or":
            groups[-1].append(one)
        else:
            groups.append([one])
    if any(len({one.there for one in group}) > 1 for group in groups):
        return Reading(None, "mixed_choice", rest)
    there = [[one.said for one in group] for group in groups if group[0].there]
    choices = [group for group in there if len(group) > 1]
    if len(choices) > 1:
        return Reading(None, "two_choices", rest)
    none = [one.said for group in groups for one in group if not one.there]
    every = [group[0] for group in there if len(group) == 1]
    try:
        rule = Rule(all=tuple(every), any=tuple(choices[0]) if choices else (), none=tuple(none))
    except InputError:
        return Reading(None, "term", rest)
    return Reading(rule, None, rest)


def say_rule(rule: Rule, lang: str) -> str:
    """A rule in words that `read_rule` reads as the same rule."""
    parts = []
    for part in ("all", "any", "none"):
        terms = getattr(rule, part)
        if terms:
            joined = text(f"rule.{'and' if part == 'all' else 'or'}", lang).join(_in_quotes(terms, lang))
            parts.append((part, joined))
    ends = [""] * (len(parts) - 1) + [".last"]
    said = (
        text(f"rule.{one}{end}", lang, terms=terms) for (one, terms), end in zip(parts, ends, strict=True)
    )
    return text("rule.then", lang).join(said)


def _in_quotes(terms: tuple[str, ...], lang: str) -> Iterator[str]:
    """Terms between marks that none of them holds."""
    marks = ("‘’", "“”") if lang == "ko" else ("“”", "‘’")
    for term in terms:
        pair = next((pair for pair in (*marks, "「」", "``") if not set(pair) & set(term)), marks[0])
        yield f"{pair[0]}{term}{pair[1]}"


def alike(one: Rule, other: Rule) -> bool:
    """Whether two rules are about the same texts whatever these are: the order of terms is no difference."""
    return all(set(getattr(one, part)) == set(getattr(other, part)) for part in ("all", "any", "none"))
