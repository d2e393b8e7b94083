"""A process that asks: `python -m tests.gather.asker ADDRESS TAPE COUNT CONCURRENCY`; it may be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from bapsim.gather.asking import ask
from bapsim.gather.endpoint import Request, endpoint
from bapsim.store.machine_tape import MachineTape

SCHEMA = {
    "type": "object",
    "properties": {"n": {"enum": [1, 2, 3]}},
    "required": ["n"],
    "additionalProperties": False,
}


def requests(count: int) -> list[Request]:
    """Requests that differ."""
    return [Request((("user", f"Number {i}"),), made_from=(i.to_bytes(16, "big"),)) for i in range(count)]


def main(address: str, tape: str, count: str, concurrency: str) -> None:
    to = endpoint(address, model="tiny", schema=SCHEMA, concurrency=int(concurrency), backoff=0.01, seed=1)
    with_tape = MachineTape(Path(tape))
    print(with_tape.doubted(), *(f"{one.key}:{one.sample}" for one in with_tape.in_doubt()), flush=True)
    found = ask(to, requests(int(count)), with_tape)
    print("done", found.answered, found.sent, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
