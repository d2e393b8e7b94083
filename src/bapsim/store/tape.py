"""Taped dialogues in the ledger: each answer once, owned by a person where one gave it, sealable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from bapsim.core.errors import StoreError
from bapsim.core.records import Answers
from bapsim.store import fault
from bapsim.store.ledger import Ledger, now

Seal = Callable[[str, bytes], bytes]  # (owner, body) -> body that only the owner's key opens


def packed(batch: pa.RecordBatch) -> bytes:
    """One batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def unpacked(body: bytes) -> pa.RecordBatch:
    """The batch of an Arrow IPC stream."""
    return pa.ipc.open_stream(body).read_next_batch()


@dataclass(frozen=True)
class LedgerTape:
    """A tape (core.exchange) in the ledger.

    owner: the person whose answers these are; seal, unseal: encryption under that person's key, which can
    be destroyed.
    """

    ledger: Ledger
    owner: str | None = None
    seal: Seal | None = None
    unseal: Seal | None = None

    def recall(self, key: str, step: int) -> tuple[str, Answers] | None:
        row = self.ledger.row("select * from tape where dialogue=? and step=?", key, step)
        if row is None or row["got"] is None:
            return None
        if row["sealed"] and self.unseal is None:
            raise StoreError("answer_is_sealed", dialogue=key, step=step)
        body = self.unseal(row["owner"], row["got"]) if row["sealed"] and self.unseal else row["got"]
        return row["asked"], Answers(unpacked(body))

    def intend(self, key: str, step: int, asked: str) -> None:
        row = self.ledger.row("select * from tape where dialogue=? and step=?", key, step)
        with self.ledger.change("intent") as ledger:
            if row is None:
                ledger.add("tape", dialogue=key, step=step, asked=asked, owner=self.owner, at=now())
            else:  # a volatile column: a resumed run's chain is that of an undisturbed one
                query = "update tape set intents=intents+1 where dialogue=? and step=?"
                ledger.db.execute(query, (key, step))

    def withdraw(self, key: str, step: int) -> None:
        query = "update tape set intents=intents-1 where dialogue=? and step=?"
        with self.ledger.change("withdrawn intent") as ledger:
            ledger.db.execute(query, (key, step))

    def keep(self, key: str, step: int, asked: str, got: Answers) -> None:
        body = packed(got)
        sealed = self.owner is not None and self.seal is not None
        if self.owner is not None and self.seal is not None:
            body = self.seal(self.owner, body)
        fault.point("answer arrived")
        with self.ledger.change("taped answer") as ledger:
            where = {"dialogue": key, "step": step}
            ledger.amend("tape", where, asked=asked, got=body, sealed=int(sealed), at=now())


def in_doubt(ledger: Ledger) -> list[tuple[str, int]]:
    """Questions that were asked and whose answers were never taped: they may have been paid for twice."""
    query = "select dialogue, step from tape where intents > (got is not null) order by 1, 2"
    rows = ledger.rows(query)
    return [(row["dialogue"], row["step"]) for row in rows]
