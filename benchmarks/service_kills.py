"""No acknowledged feedback is lost in 100 kills under load, and a switch of models fails no request.

    python benchmarks/service_kills.py [--out docs/results/service_kills] [--kills 100] [--switches 40]

Three clients ask and correct as fast as they are answered; after .2 to 1 s the service dies by signal 9, and
is started again on the same project. Every second kill is under `--durable`, where answers count too. Then
all segments are read: whatever was acknowledged has to be there, once, whole, and a source has to read all of
it. Switches: four clients ask while another of two versions is made to serve, again and again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.service import service as source
from bapsim.serve import release
from bapsim.serve.log import lines_of
from service_load import KIND, load_average, project, service


class Clients:
    """They ask and, if wanted, correct; what came back is remembered until the service is gone."""

    def __init__(self, port: int, count: int, *, correct: bool) -> None:
        self.port, self.correct = port, correct
        self.answered: list[str] = []
        self.corrected: list[str] = []
        self.models: dict[str, int] = {}
        self.failed: list[str] = []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(k,)) for k in range(count)]
        for one in self.threads:
            one.start()

    def post(self, to: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, Any]:
        to.request("POST", path, json.dumps(body), KIND)
        got = to.getresponse()
        return got.status, json.loads(got.read())

    def run(self, k: int) -> None:
        to = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        i = 0
        while not self.ending.is_set():
            i += 1
            try:
                status, said = self.post(to, "/predict", {"text": f"where is my card {k} {i}"})
                if status != 200:
                    self.failed.append(str(said))
                    continue
                self.answered.append(said["request"])
                self.models[said["model"]] = self.models.get(said["model"], 0) + 1
                if self.correct:
                    sent = {"request": said["request"], "correction": "card_arrival", "by": f"c{k}"}
                    status, said = self.post(to, "/feedback", sent)
                    if status == 200:
                        self.corrected.append(said["request"])
            except (OSError, http.client.HTTPException):
                return
        to.close()

    def join(self) -> None:
        self.ending.set()
        for one in self.threads:
            one.join()


def kills(root: Path, count: int) -> dict[str, Any]:
    rng = random.Random(1)
    answered, durable, corrected = 0, set(), set()
    for i in range(count):
        kept = i % 2 == 1
        with service(root, "--durable" if kept else "--no-durable") as (process, port):
            clients = Clients(port, 3, correct=True)
            time.sleep(rng.uniform(0.2, 1.0))
            process.send_signal(signal.SIGKILL)
            process.wait()
            clients.join()
        assert not clients.failed, clients.failed[:3]
        answered += len(clients.answered)
        corrected |= set(clients.corrected)
        durable |= set(clients.answered) if kept else set()
        if i % 10 == 9:
            print(f"{i + 1} kills, {len(corrected):,} corrections acknowledged", flush=True)
    segments = sorted((root / "inbox" / "service").glob("*.jsonl"))
    lines = [line for path in segments for line in lines_of(path)]
    requests = {line["request"] for line in lines if "input" in line}
    heard = [line["request"] for line in lines if "correction" in line]
    half = sum(not path.read_bytes().endswith(b"\n") for path in segments)
    turn = Turn(n=1, seed=0, task=Task(input="text", target="intent"), inbox=root / "inbox")
    rows = 0
    for draft in source("service/", rights="own")(turn):
        rows += sum(one is not None for one in draft.rows.column("intent").to_pylist())
    return {
        "kills": count,
        "answered": answered,
        "acknowledged": len(corrected),
        "lost": len(corrected - set(heard)),
        "twice": len(heard) - len(set(heard)),
        "without_request": len(corrected - requests),
        "durable_answers": len(durable),
        "durable_lost": len(durable - requests),
        "segments": len(segments),
        "half_lines": half,
        "read_by_the_wheel": rows,  # a corrected request has two lines, and each gives the same row
        "in_the_log": len(set(heard)),
    }


def switches(root: Path, count: int) -> dict[str, Any]:
    models = root / "wheel" / "models" / "main"
    shutil.copytree(models / "t001-people", models / "again")
    with service(root) as (_, port):
        clients = Clients(port, 4, correct=False)
        waits = []
        for i in range(count):
            wanted = ("again", "t001-people")[i % 2]
            begun = time.perf_counter()
            release.change(root, "switch", wanted, "the benchmark")
            while health(port)["serves"] != wanted:
                time.sleep(0.02)
            waits.append(time.perf_counter() - begun)
        clients.join()
    waits.sort()
    return {
        "switches": count,
        "requests": len(clients.answered),
        "failed": len(clients.failed),
        "by_model": clients.models,
        "seconds_until_it_serves": round(waits[len(waits) // 2], 2),
        "longest": round(waits[-1], 2),
    }


def health(port: int) -> Any:
    to = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    to.request("GET", "/health")
    said = json.loads(to.getresponse().read())
    to.close()
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results/service_kills"))
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--switches", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = project(Path(place), "banking77")
        said = {"kills": kills(root, args.kills), "switches": switches(root, args.switches)}
    said["load"] = load_average()
    k, s = said["kills"], said["switches"]
    command = f"python benchmarks/service_kills.py --kills {args.kills} --switches {args.switches}"
    body = f"""# Kills and switches under load

`{command}`

{(__doc__ or "").split(chr(10) * 2)[2].strip()}

| {k["kills"]} kills by signal 9 | |
|---|---|
| requests answered | {k["answered"]:,} |
| corrections acknowledged | {k["acknowledged"]:,} |
| **acknowledged corrections that are not in the log** | **{k["lost"]}** |
| of them whose request's own line is not there | {k["without_request"]} |
| corrections that stand twice | {k["twice"]} |
| answers under `--durable` | {k["durable_answers"]:,} |
| **of them not in the log** | **{k["durable_lost"]}** |
| segments; that end in half a line | {k["segments"]}; {k["half_lines"]} |
| corrections in the log | {k["in_the_log"]:,} |
| labelled rows that `service(...)` reads, one for each line of a request | {k["read_by_the_wheel"]:,} |

| {s["switches"]} switches | |
|---|---|
| requests answered meanwhile | {s["requests"]:,} ({s["by_model"]}) |
| **failed** | **{s["failed"]}** |
| seconds from the change until the new model serves | {s["seconds_until_it_serves"]} |
| at most | {s["longest"]} |
"""
    args.out.with_suffix(".md").write_text(body, "utf-8")
    args.out.with_suffix(".json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    print(body)
    bad = k["lost"] + k["without_request"] + k["durable_lost"] + s["failed"]
    return int(bool(bad) or 2 * k["in_the_log"] != k["read_by_the_wheel"])


if __name__ == "__main__":
    raise SystemExit(main())
