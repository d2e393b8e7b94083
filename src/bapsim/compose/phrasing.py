"""A question of the interview in the words of a language model, where somebody set one up: off by default.

A model only phrases. What leaves the house is a question with gaps and, if their terms allow, the last words
of the person who is asked, with personal data masked. Labels are put into the gaps here; cases, rules and
what others said stand beside the question. What comes back is one sentence or two with the same gaps, or it
is not used: no reply of a model chooses what is asked, of whom, or what is stored. Whatever goes wrong, the
plain question is asked.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa

from bapsim.compose.dialogue import Question
from bapsim.compose.interview_words import MANY, named, say_question
from bapsim.core.arrow import strings
from bapsim.core.errors import BapsimError, InputError, messages, text
from bapsim.core.particles import settled
from bapsim.core.recipe import Respondent
from bapsim.core.records import Answers, Rows
from bapsim.store.terms import Terms, refusal
from bapsim.text.pii import PEOPLE, find, redact
from bapsim.text.scripts import letters

THIRD = "third_party"
LONGEST = 400  # characters of a phrased question
WORDS = 600  # characters of a person's last words that are sent
BODY = 64 * 1024  # bytes of a reply that are read
KINDS = ("case", "reason", "rule", "counter", "own", "sure", "guideline")
_GAP = re.compile(r"\{[a-z]+\}")
_LINK = re.compile(r"https?:|www\.|\]\(|[<>\\`]|[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_ASKS_FOR = re.compile(
    "password|passcode|credential|login|token|api[ -]?key|credit card|social security|click|download|approve"
    " all|비밀번호|암호|인증\\s?번호|주민|계좌|클릭|다운로드|로그인|모두 승인",
    re.IGNORECASE,
)


# ---------------------------------------------------------------- what may leave


class Piece(NamedTuple):
    """A text that would leave, and the terms that it stands under: all of them; empty: under none."""

    text: str
    terms: tuple[Terms, ...]


def may_leave(pieces: Iterable[Piece], purposes: Iterable[str], day: date) -> str | None:
    """Why texts may not be sent to somebody else's model; None: they may.

    Every text must stand under terms that grant the declared purposes and `third_party`; a text under no
    terms stays. The reasons are those of `store.terms.refusal`, and "no_terms".
    """
    wanted = {*purposes, THIRD}
    for piece in pieces:
        if not piece.terms:
            return "no_terms"
        reason = refusal(piece.terms, wanted, day)
        if reason is not None:
            return reason
    return None


# ---------------------------------------------------------------- the endpoint


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An OpenAI-compatible service: url up to /v1, the model's name, a key or None; timeout: seconds for all
    tries together; retries: after an answer that says to try again, or none at all.

    proxies: whether those of the environment are used.
    """

    url: str
    model: str
    key: str | None = None
    timeout: float = 4.0
    retries: int = 1
    proxies: bool = False

    def __post_init__(self) -> None:
        if (
            not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", self.url)
            or self.timeout <= 0
            or self.retries < 0
        ):
            raise InputError("endpoint_unclear", url=self.url[:80])


PROMPT = ("instructions", "question", "words")


class Unusable(Exception):
    """The endpoint did not answer, or not with what was asked for."""


@dataclass(frozen=True)
class Phraser:
    """The respondent behind an endpoint: rows of instructions, question and words, answered with `said`, ""
    where it did not.
    """

    endpoint: Endpoint

    def __call__(self, rows: Rows, /) -> Answers:
        said = []
        for row in rows.to_pylist():
            try:
                said.append(_asked(self.endpoint, row))
            except Unusable:
                said.append("")
        return Answers(pa.record_batch([pa.array(said, pa.string())], names=["said"]))


def phraser(endpoint: Endpoint) -> Respondent:
    """A language model that phrases; `mods.meter` puts a price and a ceiling on it."""
    return Phraser(endpoint)


def _asked(to: Endpoint, row: Mapping[str, str]) -> str:
    """The phrased question that the endpoint gives; raises Unusable."""
    import httpx

    given = json.dumps({"question": row["question"], "their_last_words": row["words"]}, ensure_ascii=False)
    body = {
        "model": to.model,
        "temperature": 0.3,
        "max_tokens": 200,
        "response_format": {"type": "json_object"},
        "messages": [
            {"role": "system", "content": row["instructions"]},
            {"role": "user", "content": given},
        ],
    }
    head = {"authorization": f"Bearer {to.key}"} if to.key else {}
    end = time.monotonic() + to.timeout
    with httpx.Client(trust_env=to.proxies, follow_redirects=False) as client:
        for left in range(to.retries, -1, -1):
            try:
                status, raw = _post(client, f"{to.url.rstrip('/')}/chat/completions", body, head, end)
            except httpx.HTTPError as error:
                if not left:
                    raise Unusable from error
                continue
            if status == 200:
                return _content(raw)
            if status not in (408, 409, 425, 429, 500, 502, 503, 504) or not left:
                raise Unusable
            time.sleep(max(min(0.25, end - time.monotonic()), 0))
    raise Unusable


def _post(client: Any, url: str, body: Any, head: Mapping[str, str], end: float) -> tuple[int, bytes]:
    """Status and body; one that trickles, or does not end, is cut off at `end`."""
    left = end - time.monotonic()
    if left <= 0:
        raise Unusable
    raw = b""
    with client.stream("POST", url, json=body, headers=head, timeout=left) as answer:
        for chunk in answer.iter_raw():
            raw += chunk
            if len(raw) > BODY or time.monotonic() > end:
                raise Unusable
        return answer.status_code, raw


def _content(raw: bytes) -> str:
    try:
        said = json.loads(json.loads(raw)["choices"][0]["message"]["content"])["question"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise Unusable from error
    if not isinstance(said, str):
        raise Unusable
    return said


# ---------------------------------------------------------------- phrasing


@dataclass(frozen=True, kw_only=True)
class Phrased:
    """A question in words; by: "model", or why the plain words stand: "off", "kind", "no_terms" and the other
    reasons of `may_leave`, "spent", "silent", "unfit"; sent: what left the house, nothing = "".
    """

    said: str
    by: str
    sent: str = ""


@dataclass(frozen=True, kw_only=True)
class Leave:
    """What decides whether words may leave: whose they are, by terms; declared purposes; the day."""

    terms: tuple[Terms, ...]
    purposes: frozenset[str]
    day: date


def phrase(
    question: Question, lang: str, words: str, leave: Leave, respond: Respondent | None = None
) -> Phrased:
    """A question to a person, phrased by a model if there is one and the terms of this person's last words
    allow; else as `say_question` has it.

    words: what this person said last ("" = nothing), in any form: personal data is masked here.
    """
    plain = say_question(question, lang)
    if respond is None:
        return Phrased(said=plain, by="off")
    gaps = gapped(question, lang)
    if question.kind not in KINDS or gaps is None:
        return Phrased(said=plain, by="kind")
    clean = masked_words(words)
    why = may_leave([Piece(clean, leave.terms)], leave.purposes, leave.day)
    if why is not None:
        return Phrased(said=plain, by=why)
    row = [text("phrasing.instructions", lang), gaps.said, clean]
    columns: list[Any] = [pa.array([cell], pa.string()) for cell in row]
    try:
        got = strings(respond(Rows(pa.record_batch(columns, names=list(PROMPT)))).column("said"))[0] or ""
    except BapsimError:
        return Phrased(said=plain, by="spent")
    sent = json.dumps(row, ensure_ascii=False)
    if not got:
        return Phrased(said=plain, by="silent", sent=sent)
    if not fits(got, gaps.said, lang):
        return Phrased(said=plain, by="unfit", sent=sent)
    said = _GAP.sub(lambda gap: gaps.values[gap[0][1:-1]], " ".join(got.split()))
    return Phrased(said=settled(said) if lang == "ko" else said, by="model", sent=sent)


def masked_words(words: str) -> str:
    """A person's last words as they may leave: personal data masked, on one line, not endless, no gaps."""
    clean, _ = redact(words[: 4 * WORDS])
    return re.sub(r"[{}]", "", " ".join(clean.split()))[:WORDS]


class Gapped(NamedTuple):
    """A question with gaps in place of what is the house's own, and what goes into them."""

    said: str
    values: Mapping[str, str]


def gapped(question: Question, lang: str) -> Gapped | None:
    """The plain question without labels, rules and texts; None where it has no such form."""
    values: dict[str, str] = {}
    about = dict(question.about)
    for name in ("label", "mine", "n", "of"):
        if name in about:
            values[name] = str(about[name])
            about[name] = f"\0{name}\0"
    if question.kind == "reason" and about.get("against"):
        return _others(question, about, values, lang)
    about |= {"fit": None, "rule": None, "now": ""}
    said = say_question(Question(to="person", kind=question.kind, about=about), lang)
    return _filled(said, values)


def _others(question: Question, about: Mapping[str, Any], values: dict[str, str], lang: str) -> Gapped | None:
    values["others"] = named(question.about["against"][:MANY], lang)
    said = messages()["interview.reason"][lang].replace("{against}", "\0others\0")
    return _filled(said.replace("{label}", "\0label\0"), values)


def _filled(said: str, values: Mapping[str, str]) -> Gapped:
    used = {name: value for name, value in values.items() if f"\0{name}\0" in said}
    return Gapped(re.sub("\0([a-z]+)\0", r"{\1}", said), used)


def fits(said: str, asked: str, lang: str) -> bool:
    """Whether a phrased question may be shown: short, in the language, with each gap once and no other, no
    link, sign or command in it, no personal data, and nothing that a question of an interview never asks for.
    """
    if not said.strip() or len(said) > LONGEST or said.count("\n") > 2:
        return False
    if sorted(_GAP.findall(said)) != sorted(_GAP.findall(asked)) or said.count("{") != len(
        _GAP.findall(said)
    ):
        return False
    if _LINK.search(said) or _ASKS_FOR.search(said) or said.count("?") > 3 or "?" not in said:
        return False
    if len(find([said], PEOPLE).texts):
        return False
    counts = letters([_GAP.sub("", said)])
    mine = counts["hangul" if lang == "ko" else "latin"]
    return mine >= 0.5 * max(sum(counts.values()), 1)
