"""What a withdrawal looks for in files: verbatim traces, ids, pictures, rows of tables, a consent's name.

It holds digests under the project's key and no text, so that it can lie on the disk until the work is done: a
withdrawal that was killed goes on with what it was looking for, though the texts are gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bapsim.text.escaped import unescaped
from bapsim.text.verbatim import Traces, holds, read, written

_ESCAPES = frozenset("&\\%")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sought:
    """consent: its name, in fields called one of `fields`; ids: of erased records, hexadecimal; requests,
    blobs, rows: keyed digests of requests of a log, of pictures, and of rows of tables (cells of `inputs`);
    default: records that name no consent are under this one.
    """

    secret: bytes
    traces: Traces
    consent: str
    fields: frozenset[str] = frozenset({"consent"})
    ids: frozenset[str] = frozenset()
    requests: frozenset[str] = frozenset()
    blobs: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()
    inputs: tuple[str, ...] = ()
    default: bool = False

    def goes(self, records: Sequence[Any], *, made: bool) -> np.ndarray:
        """bool[n]: records of data (mappings, lists of cells, single values) that have to go.

        made: of the wheel's own making (exports, question sheets, answers of models), where a row or a value
        that only erased records have is one of theirs; what people gave may say the same by chance.
        """
        gone = np.array([self._named(one, made) for one in records], bool)
        texts: list[str] = []
        of: list[int] = []
        for i, one in enumerate(records):
            if not gone[i]:
                said = list(texts_in(one))
                said += [unescaped(text).text for text in said if _ESCAPES & set(text)]
                texts += said
                of += [i] * len(said)
        gone[np.array(of, np.int64)[holds(self.traces, texts, "values" if made else "strict")]] = True
        return gone

    def _named(self, record: Any, made: bool) -> bool:
        """Whether a record names what goes: the consent, a request under it, an id, a picture, a row."""
        if made and isinstance(record, Mapping) and self._is_row(record):
            return True
        if self.default and not any(value for key, value in leaves(record) if key in self.fields):
            return True
        return any(self._names(key, value) for key, value in leaves(record))

    def _names(self, key: str, value: Any) -> bool:
        if isinstance(value, bytes):
            if len(value) == 16 and value.hex() in self.ids:
                return True
            return bool(self.blobs) and digest(self.secret, value) in self.blobs
        if not isinstance(value, str):
            return False
        if key in self.fields and value == self.consent:
            return True
        if key == "request" and self.requests and digest(self.secret, value) in self.requests:
            return True
        return len(value) in (32, 33) and value.lower().removeprefix("q") in self.ids

    def _is_row(self, record: Mapping[str, Any]) -> bool:
        if not self.rows or any(name not in record for name in self.inputs):
            return False
        return row_digest(self.secret, [record[name] for name in self.inputs]) in self.rows

    def is_blob(self, body: bytes) -> bool:
        """Whether a file is a picture that goes."""
        return bool(self.blobs) and digest(self.secret, body) in self.blobs


def digest(secret: bytes, value: bytes | str) -> str:
    """A keyed digest, 32 hexadecimal digits."""
    body = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(body, digest_size=16, key=secret[:64], person=b"withdrawal").hexdigest()


def row_digest(secret: bytes, cells: Iterable[Any]) -> str:
    """A keyed digest of the cells of a row, whatever format they were read from."""
    return digest(secret, json.dumps([_cell(one) for one in cells], ensure_ascii=False))


def _cell(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value or "").lower()
    said = str(value).strip()
    try:
        return f"{float(said):.9g}"
    except ValueError:
        return said.lower() if said.lower() in ("true", "false") else said


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values that are no lists or mappings, each with the name that it stands under."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from leaves(inner, key)
    else:
        yield key, value


def texts_in(value: Any) -> Iterator[str]:
    """All texts in a value, names of fields left out; bytes as text where they are."""
    for _, one in leaves(value):
        if isinstance(one, str):
            yield one
        elif isinstance(one, bytes) and len(one) < 1 << 20:
            yield one.decode("utf-8", "ignore")


def as_bytes(sought: Sought) -> bytes:
    """For the disk; digests only."""
    sets = {name: sorted(getattr(sought, name)) for name in ("fields", "ids", "requests", "blobs", "rows")}
    said = {**sets, "consent": sought.consent, "inputs": list(sought.inputs)}
    return json.dumps(said | {"traces": written(sought.traces).decode()}).encode()


def from_bytes(body: bytes, secret: bytes) -> Sought:
    """As it was written."""
    said = json.loads(body)
    fields, ids, requests, blobs, rows = (
        frozenset(said[name]) for name in ("fields", "ids", "requests", "blobs", "rows")
    )
    return Sought(
        secret=secret,
        traces=read(said["traces"].encode(), secret),
        consent=said["consent"],
        fields=fields,
        ids=ids,
        requests=requests,
        blobs=blobs,
        rows=rows,
        inputs=tuple(said["inputs"]),
    )
