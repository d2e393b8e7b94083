"""The driver of endpoints keeps up with a bare asyncio load, and pays nothing twice over 100 kills.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install "distilabel[openai]==1.5.3"
    python benchmarks/synthesis.py [--peer /tmp/peer/bin/python] [--rounds 7] [--kills 100] [--quick]

Two endpoints: one that does nothing but wait 10 ms, and a real llama.cpp server with a small random model
behind a proxy that adds 10 ms (its 4 slots are the limit), all on this machine. The bare load is httpx in
asyncio, so many workers that ask one after another, and keeps nothing; the driver checks each answer by its
schema and keeps it on a tape on the disk. Rounds alternate; a ratio is that of the two runs of one round.
Kills: signal 9 after a random time, again and again on one tape until all is done. Faults: a quarter of all
answers is late, busy, cut, garbage, or against the schema.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bapsim.gather.asking import ask
from bapsim.gather.endpoint import Request, endpoint
from bapsim.store.machine_tape import MachineTape

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.faulty import Proxy  # noqa: E402
from tests.llama import serving, write_model  # noqa: E402

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "pattern": "^[a-z ]{8,24}$"}, "n": {"enum": [1, 2, 3]}},
    "required": ["text", "n"],
    "additionalProperties": False,
}
LATENCY = 0.01
MOST = 160  # tokens of an answer
SHARE = {"429": 0.06, "500": 0.05, "cut": 0.04, "garbage": 0.04, "no_schema": 0.04, "cut_json": 0.02}


@contextmanager
def proxied(real: str) -> Iterator[str]:
    """A proxy in a process of its own, which shares no interpreter with those that are measured."""
    call = [sys.executable, "-m", "tests.faulty", real, str(LATENCY)]
    with subprocess.Popen(
        call, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def prompt(i: int) -> str:
    """Of about the length of a review."""
    return f"Say this in other words, number {i}: the picture was long, and its end came too late for me."


async def bare(address: str, count: int, flying: int, first: int) -> int:
    """As many workers as may be in flight; returns how many answers were JSON."""
    limits = httpx.Limits(max_connections=flying, max_keepalive_connections=flying)
    left = iter(range(first, first + count))
    good = 0
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:

        async def worker() -> None:
            nonlocal good
            for i in left:
                body = {"model": "tiny", "temperature": 1.0, "max_tokens": MOST, "response_format": form}
                body |= {"messages": [{"role": "user", "content": prompt(i)}], "seed": 1}
                got = await client.post(f"{address}/chat/completions", json=body)
                said = got.json()["choices"][0]["message"]["content"]
                try:
                    good += isinstance(json.loads(said), dict)
                except ValueError:
                    continue

        await asyncio.gather(*(worker() for _ in range(flying)))
    return good


def ours(address: str, count: int, flying: int, first: int, tape: MachineTape) -> int:
    """The driver on a tape; returns how many answers fit the schema."""
    to = endpoint(address, model="tiny", schema=SCHEMA, max_tokens=MOST, concurrency=flying, seed=1)
    wanted = [
        Request((("user", prompt(i)),), made_from=(i.to_bytes(16, "big"),))
        for i in range(first, first + count)
    ]
    found = ask(to, wanted, tape)
    assert found.answered + sum(found.refused.values()) == count
    return found.answered


def speeds(
    real: str, counts: dict[int, int], rounds: int, peer: str | None, place: Path
) -> list[dict[str, Any]]:
    """Requests a second of each, round by round, at each number in flight."""
    rows: list[dict[str, Any]] = []
    with proxied(real) as address:
        tape = MachineTape(place / f"speed{bool(real)}.sqlite")
        first = 0
        for flying, count in counts.items():
            for turn in range(rounds + 1):
                row: dict[str, Any] = {"flying": flying, "count": count}
                ways = ["bare", "ours", *(["peer"] if peer else [])]
                for way in ways if turn % 2 else reversed(ways):
                    first += count
                    start, busy = time.perf_counter(), time.process_time()
                    if way == "bare":
                        row["bare_good"] = asyncio.run(bare(address, count, flying, first))
                    elif way == "ours":
                        row["ours_good"] = ours(address, count, flying, first, tape)
                    else:
                        row |= asked_by_peer(peer or "", address, count, flying, first)
                        row["peer"] = count / row["peer_seconds"]
                        continue
                    row[way] = count / (time.perf_counter() - start)
                    row[f"{way}_cpu"] = (time.process_time() - busy) / count
                if turn:  # the first one warms everything up
                    rows.append(row)
                    print(json.dumps(row), flush=True)
        tape.close()
    return rows


def asked_by_peer(python: str, address: str, count: int, flying: int, first: int) -> dict[str, Any]:
    """The same job by the peer, timed inside its process once it is loaded."""
    file = Path(__file__).with_name("synthesis_peer.py")
    said = [prompt(i) for i in range(first, first + count)]
    task = {"address": address, "prompts": said, "flying": flying, "schema": SCHEMA, "most": MOST}
    done = subprocess.run(
        [python, str(file)], input=json.dumps(task), capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def kills(real: str, wanted: int, place: Path) -> dict[str, Any]:
    """One job after another, each killed again and again; what was asked for twice, and what was in doubt."""
    rng = random.Random(20261124)
    count, flying = 120, 8
    found = {"kills": 0, "jobs": 0, "finished": 0, "repeated": 0, "doubts": 0, "most_doubts": 0, "extra": 0}
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    while found["kills"] < wanted:
        path = place / f"kill{found['jobs']}.sqlite"
        with Proxy(real, latency=LATENCY) as proxy:
            call = [
                sys.executable,
                "-m",
                "tests.gather.asker",
                proxy.address,
                str(path),
                str(count),
                str(flying),
            ]
            done = False
            doubts = 0
            while not done:
                before = dict(proxy.asked)
                answered = _answered(path)
                with subprocess.Popen(call, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) as process:
                    assert process.stdout is not None
                    process.stdout.readline()
                    time.sleep(rng.uniform(0.15, 0.7))
                    process.send_signal(signal.SIGKILL)
                    done = process.wait() == 0
                time.sleep(0.05)  # what was on its way arrives at the proxy
                asked = sum(proxy.asked.values()) - sum(before.values())
                found["repeated"] += max(0, asked - (count - answered))
                found["kills"] += not done
                tape = MachineTape(path)
                doubts += len(tape.in_doubt())
                found["most_doubts"] = max(found["most_doubts"], len(tape.in_doubt()))
                tape.close()
            found["extra"] += sum(proxy.asked.values()) - count - doubts
            found["finished"] += _answered(path)
            found["doubts"] += doubts
            found["jobs"] += 1
    found["asked_for"] = found["jobs"] * count
    found["flying"] = flying
    return found


def _answered(path: Path) -> int:
    if not path.exists():
        return 0
    tape = MachineTape(path)
    counts = tape.counts()
    tape.close()
    return counts.get("answered", 0)


def faults(real: str, count: int, place: Path) -> dict[str, Any]:
    """What comes of a job of which a quarter of the answers is bad."""
    with Proxy(real, share=SHARE, seed=1) as proxy:
        to = endpoint(
            proxy.address,
            model="tiny",
            schema=SCHEMA,
            max_tokens=MOST,
            concurrency=16,
            backoff=0.02,
            retries=8,
        )
        tape = MachineTape(place / "faults.sqlite")
        found = ask(to, [Request((("user", prompt(i)),)) for i in range(count)], tape)
        tape.close()
    return {
        "count": count,
        "answered": found.answered,
        "refused": found.refused,
        "sent": found.sent,
        "unaccounted": count - found.answered - sum(found.refused.values()),
    }


def page(said: dict[str, Any]) -> str:
    """The results as a page."""
    lines = ["# Asking endpoints", "", (__doc__ or "").split("\n\n", 1)[0], ""]
    lines += ["`python benchmarks/synthesis.py --peer PYTHON`", ""]
    for name, title in (("speed", "An endpoint that waits 10 ms"), ("speed_llama", "llama.cpp and 10 ms")):
        lines += [f"## {title}", "", "Requests a second; the ratio is the median of rounds.", ""]
        heads = ["in flight", "bare asyncio", "bapsim", "of bare", "lowest to highest round"]
        heads += ["CPU-ms a request, bare", "bapsim", "distilabel 1.5.3", "of bare"]
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        lines += [_row(flying, one) for flying, one in said[name].items()] + [""]
    kill, fault = said["kills"], said["faults"]
    size = kill["asked_for"] // kill["jobs"]
    refused = ", ".join(f"{n} {why}" for why, n in fault["refused"].items())
    lines += [
        "## Kills",
        "",
        f"{kill['kills']} kills by signal 9 in {kill['jobs']} jobs of {size} requests, "
        f"{kill['flying']} in flight: {kill['finished']} of {kill['asked_for']} finished, "
        f"**{kill['repeated']} finished ones asked again**; in doubt at one kill {kill['most_doubts']} at "
        f"most, together {kill['doubts']}; "
        f"{max(0, kill['extra'])} asked twice that no tape had called in doubt.",
        "",
        "## Faults",
        "",
        f"{fault['count']} requests, a quarter of the answers bad: {fault['answered']} answered by the "
        f"schema; refused: {refused}; {fault['sent']} sent, "
        f"{fault['unaccounted']} unaccounted for.",
        "",
    ]
    return "\n".join(lines)


def _row(flying: str, one: dict[str, Any]) -> str:
    peer = [f"{one['peer']:.0f}", f"{one['peer_ratio']:.2f}"] if one.get("peer") else ["not run", ""]
    cells = [flying, f"{one['bare']:.0f}", f"{one['ours']:.0f}", f"{one['ratio']:.3f}"]
    cells += [f"{one['least']:.3f} to {one['most']:.3f}", f"{1000 * one['bare_cpu']:.2f}"]
    cells += [f"{1000 * one['ours_cpu']:.2f}", *peer]
    return f"| {' | '.join(cells)} |"


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over rounds, ratios of pairs."""
    found: dict[str, Any] = {}
    for flying in dict.fromkeys(row["flying"] for row in rows):
        mine = [row for row in rows if row["flying"] == flying]
        ratios = [row["ours"] / row["bare"] for row in mine]
        one = {
            name: statistics.median(row[name] for row in mine)
            for name in ("bare", "ours", "bare_cpu", "ours_cpu")
        }
        one |= {"ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
        one["rounds"] = len(mine)
        if "peer" in mine[0]:
            one["peer"] = statistics.median(row["peer"] for row in mine)
            one["peer_ratio"] = statistics.median(row["peer"] / row["bare"] for row in mine)
            one["peer_good"] = mine[0]["peer_good"]
        found[str(flying)] = one
    return found


def main() -> int:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "synthesis")
    say.add_argument("--peer", help='python of a venv with "distilabel[openai]==1.5.3"')
    say.add_argument("--rounds", type=int, default=7)
    say.add_argument("--kills", type=int, default=100)
    say.add_argument("--quick", action="store_true")
    args = say.parse_args()
    counts = {1: 20, 4: 40, 16: 60} if args.quick else {1: 100, 4: 300, 16: 600}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_model(place / "tiny.gguf")
        with serving(place / "tiny.gguf") as real:
            rounds = 1 if args.quick else args.rounds
            said = {
                "speed": summary(speeds("", counts, rounds, args.peer, place)),
                "speed_llama": summary(speeds(real, counts, rounds, args.peer, place)),
                "kills": kills(real, 3 if args.quick else args.kills, place),
                "faults": faults(real, 60 if args.quick else 1000, place),
            }
    print(page(said))
    if args.quick:
        return 0
    args.out.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".md").write_text(page(said), "utf-8")
    good = all(one["ratio"] >= 0.95 for name in ("speed", "speed_llama") for one in said[name].values())
    return 0 if good and not said["kills"]["repeated"] and not said["faults"]["unaccounted"] else 1


if __name__ == "__main__":
    sys.exit(main())
