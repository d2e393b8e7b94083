"""Taped dialogues: every answer once, owned and sealed where a person gave it."""

import pyarrow as pa
import pytest

from bapsim.core.errors import Damaged, StoreError
from bapsim.core.records import Answers
from bapsim.store.ledger import Ledger
from bapsim.store.tape import LedgerTape, in_doubt, packed, unpacked


@pytest.fixture
def ledger(tmp_path):
    one = Ledger(tmp_path / "ledger.sqlite", b"k" * 32)
    yield one
    assert one.verify() == []
    one.close()


def answers(*said):
    return Answers(
        pa.record_batch({"prediction": pa.array(said, pa.string()), "n": pa.array(range(len(said)))})
    )


@pytest.mark.parametrize("batch", [answers(), answers("가", None)])
def test_a_batch_as_bytes(batch):
    assert unpacked(packed(batch)).equals(batch)


def test_answers_come_back(ledger):
    tape = LedgerTape(ledger)
    assert tape.recall("d", 0) is None
    tape.intend("d", 0, "q")
    assert tape.recall("d", 0) is None
    tape.keep("d", 0, "q2", answers("a"))
    asked, got = tape.recall("d", 0)
    assert (asked, got.equals(answers("a"))) == ("q2", True)
    assert tape.recall("d", 1) is None
    assert tape.recall("e", 0) is None


def test_an_answer_without_an_intent_is_refused(ledger):
    with pytest.raises(Damaged):
        LedgerTape(ledger).keep("d", 0, "q", answers("a"))
    assert LedgerTape(ledger).recall("d", 0) is None


def test_what_is_in_doubt(ledger):
    tape = LedgerTape(ledger)
    for key, intents, withdrawn, kept in (
        ("answered", 1, 0, True),
        ("cut", 1, 0, False),
        ("cut, then answered", 2, 0, True),
        ("waiting", 1, 1, False),
        ("waited, then answered", 2, 1, True),
        ("waited, then cut", 2, 1, False),
    ):
        for i in range(intents):
            tape.intend(key, 3, "q")
            if i < withdrawn:
                tape.withdraw(key, 3)
        if kept:
            tape.keep(key, 3, "q", answers("a"))
    assert in_doubt(ledger) == [("cut", 3), ("cut, then answered", 3), ("waited, then cut", 3)]


def seal(owner, body):
    return bytes(b ^ 0x5A for b in body) + owner.encode()


def unseal(owner, body):
    assert body.endswith(owner.encode())
    return bytes(b ^ 0x5A for b in body[: -len(owner.encode())])


def test_a_sealed_answer_opens_under_its_owners_key_only(ledger):
    tape = LedgerTape(ledger, owner="kim", seal=seal, unseal=unseal)
    tape.intend("d", 0, "q")
    tape.keep("d", 0, "q", answers("secret"))
    assert tape.recall("d", 0)[1].equals(answers("secret"))
    row = ledger.row("select * from tape")
    assert (row["owner"], row["sealed"]) == ("kim", 1)
    assert b"secret" not in row["got"]
    with pytest.raises(StoreError) as caught:
        LedgerTape(ledger).recall("d", 0)
    assert caught.value.key == "answer_is_sealed"
    assert "'d'" in str(caught.value)


def test_an_owned_answer_need_not_be_sealed(ledger):
    for key, tape in (("a", LedgerTape(ledger, owner="kim")), ("b", LedgerTape(ledger, seal=seal))):
        tape.intend(key, 0, "q")
        tape.keep(key, 0, "q", answers("plain"))
        assert LedgerTape(ledger).recall(key, 0)[1].equals(answers("plain"))
    assert [r["sealed"] for r in ledger.rows("select sealed from tape")] == [0, 0]
    assert [r["owner"] for r in ledger.rows("select owner from tape order by dialogue")] == ["kim", None]
