"""An OpenAI-compatible chat endpoint, described: what is asked of which model, by which rules, at which price.

Where it is, its key, and how fast it may be asked are no part of what it is: two houses that ask one model
the same have one fingerprint. The key is read from the environment when a call is made and kept nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError, RecipeError
from bapsim.core.records import Answers, Rows
from bapsim.mods import Money
from bapsim.store.machine_tape import MachineTape
from bapsim.text.json_schema import unknown_keywords

MILLION = 1_000_000
OVERHEAD = 64  # tokens that a chat template may put around the messages
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#@]*)?")
_HEADER = re.compile(r"[\x21-\x7e]+")


def _apart(default: Any) -> Any:
    """A field that is no part of the identity."""
    return field(default=default, metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a million tokens cost: those that the model reads, and those that it writes."""

    reads: Money
    writes: Money

    def __post_init__(self) -> None:
        if self.reads.currency != self.writes.currency:
            raise InputError("two_currencies", price=self.reads, ceiling=self.writes)

    def cost(self, tokens_in: int, tokens_out: int) -> int:
        """Millionths of a minor unit, exactly."""
        return tokens_in * self.reads.minor + tokens_out * self.writes.minor


@dataclass(frozen=True)
class Request:
    """Messages (role, text), the number of the sample, and the ids of the records whose text stands in them."""

    messages: tuple[tuple[str, str], ...]
    _: KW_ONLY
    sample: int = 0
    made_from: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """A model behind an address; called with rows it is a respondent.

    url: up to /v1; key_env: the variable of the environment that holds the key (None: no key is sent); schema:
    of the JSON that is asked for (None: plain text), checked here whatever the server says; max_tokens: of an
    answer, in the field that `limit` names; seed: sample n is asked with seed + n (None: the server chooses);
    extra: further fields of the request; price, ceiling: money for everything under `purpose` on the tape,
    which is never passed, as each request reserves the most that it can cost; per_minute: requests that may
    leave within any 60 seconds; timeout: seconds for one request; retries: after an answer that says to try
    again, with `backoff` seconds doubling each time; patience: the longest wait that a server may ask for.
    As a respondent: column `prompt`, and if there are such `system` (text) and `_sample` (number); answers
    hold `prediction` (text, or JSON by the schema with sorted names), `reason` (why there is none), `tokens_in`,
    `tokens_out`, `cost` (millionths of a minor unit), `_status`.
    Raises InputError for an address, a number or a price that cannot be, RecipeError for a schema with words
    that are not checked here.
    """

    url: str = field(metadata={"identity": False})
    _: KW_ONLY
    model: str
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 512
    temperature: float = 1.0
    top_p: float | None = None
    seed: int | None = None
    limit: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)
    key_env: str | None = _apart(None)
    price: Price | None = _apart(None)
    ceiling: Money | None = _apart(None)
    purpose: str = _apart("synthesis")
    concurrency: int = _apart(16)
    per_minute: int | None = _apart(None)
    timeout: float = _apart(60.0)
    retries: int = _apart(5)
    backoff: float = _apart(0.5)
    patience: float = _apart(120.0)
    tape: MachineTape | None = field(default=None, metadata={"identity": False}, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not _URL.fullmatch(self.url):
            raise InputError("synthesis_address", url=re.sub(r"//[^/]*@|[?#].*", "//", self.url)[:80])
        per_minute = 1 if self.per_minute is None else self.per_minute
        least = {"max_tokens": self.max_tokens, "concurrency": self.concurrency, "per_minute": per_minute}
        least |= {"timeout": self.timeout, "retries": self.retries + 1, "backoff": self.backoff}
        for name, value in least.items():
            if not value > 0:
                raise InputError("synthesis_number", name=name, value=value)
        if self.ceiling is not None and self.price is None:
            raise InputError("ceiling_without_price", ceiling=self.ceiling)
        if self.price and self.ceiling and self.price.reads.currency != self.ceiling.currency:
            raise InputError("two_currencies", price=self.price.reads, ceiling=self.ceiling)
        strange = unknown_keywords(self.schema) if self.schema is not None else set()
        if strange:
            raise RecipeError("schema_unchecked", words=", ".join(sorted(strange)))

    def __call__(self, rows: Rows, /) -> Answers:
        from bapsim.gather.asking import ask  # noqa: PLC0415  the driver needs this module

        return answers_of([*ask(self, requests_of(rows), self.tape).outcomes])

    def header(self) -> dict[str, str]:
        """What goes with each request; raises InputError, without its value, for a key that cannot be sent."""
        head = {"content-type": "application/json", "accept-encoding": "identity"}
        if self.key_env is not None:
            key = os.environ.get(self.key_env, "").strip()
            if not _HEADER.fullmatch(key):
                raise InputError("synthesis_key", variable=self.key_env)
            head["authorization"] = f"Bearer {key}"
        return head

    def stem(self) -> bytes:
        """The part of a request's body that all requests share, open at its end."""
        said: dict[str, Any] = {"model": self.model, "temperature": self.temperature}
        said[self.limit] = self.max_tokens
        if self.top_p is not None:
            said["top_p"] = self.top_p
        if self.schema is not None:
            form = {"name": "answer", "strict": True, "schema": self.schema}
            said["response_format"] = {"type": "json_schema", "json_schema": form}
        return _json(said | dict(self.extra)).encode("utf-8", "replace")[:-1]

    def worst(self, body: bytes) -> tuple[int, int]:
        """The most tokens that a request can read and write: a token is a byte at least."""
        return len(body) + OVERHEAD, self.max_tokens

    def cost(self, tokens_in: int, tokens_out: int) -> int:
        """Millionths of a minor unit; 0 without a price."""
        return self.price.cost(tokens_in, tokens_out) if self.price else 0


endpoint = Endpoint


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def body_of(stem: bytes, request: Request, seed: int | None) -> tuple[str, bytes]:
    """Key and body of a request: the seed, which follows from the sample, is no part of the key."""
    messages = [{"role": role, "content": said} for role, said in request.messages]
    whole = stem + b',"messages":' + _json(messages).encode("utf-8", "replace")
    key = hashlib.blake2b(whole, digest_size=16).hexdigest()
    if seed is not None:
        whole += b',"seed":%d' % (seed + request.sample)
    return key, whole + b"}"


def requests_of(rows: Rows) -> list[Request]:
    """Rows as requests; raises InputError without the column `prompt`."""
    names = rows.schema.names
    if "prompt" not in names:
        raise InputError("prompt_missing", columns=", ".join(names))
    empty: Sequence[str | None] = [None] * len(rows)
    system = strings(rows.column("system")) if "system" in names else empty
    samples = rows.column("_sample").to_pylist() if "_sample" in names else [0] * len(rows)
    found = []
    for prompt, first, sample in zip(strings(rows.column("prompt")), system, samples, strict=True):
        head = (("system", first),) if first else ()
        found.append(Request((*head, ("user", prompt or "")), sample=int(sample or 0)))
    return found


def answers_of(outcomes: Sequence[Any]) -> Answers:
    """Outcomes of the driver as answers, in their order."""
    columns = {
        "prediction": pa.array([one.text for one in outcomes], pa.string()),
        "reason": pa.array([one.reason for one in outcomes], pa.string()),
        "_status": pa.array(
            ["declined" if one.text is None else "answered" for one in outcomes], pa.string()
        ),
        "tokens_in": pa.array([one.tokens_in for one in outcomes], pa.int64()),
        "tokens_out": pa.array([one.tokens_out for one in outcomes], pa.int64()),
        "cost": pa.array([one.cost for one in outcomes], pa.int64()),
    }
    return Answers(pa.record_batch(list(columns.values()), names=list(columns)))
