"""What the service's benchmarks share: a project, services as processes, and load from a process of its own.

The load generator speaks HTTP/1.1 over raw sockets, so that it costs little beside the service. Open loop:
requests are due at times drawn beforehand (Poisson), and a latency runs from the time a request was due, so
that a service that stalls cannot hide it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("BAPSIM_DATA", Path(__file__).parents[2] / "shared" / "data"))
HERE = Path(__file__).parent
BAPSIM = [sys.executable, "-c", "from bapsim.cli import main; main()"]
ONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
Running = tuple[subprocess.Popen[str], int]
TICK = os.sysconf("SC_CLK_TCK")


def project(place: Path, data: str) -> Path:
    """A project on a data set, after its first turn."""
    root = place / data
    file = DATA / data / "train.jsonl.gz"
    target = "intent"
    new = ["new", str(root), "--from", str(file), "--text", "text", "--target", target]
    for words in (new, ["-C", str(root), "turn"]):
        subprocess.run([*BAPSIM, *words], env={**os.environ, **ONE}, check=True, stdout=subprocess.DEVNULL)
    return root


def texts_of(data: str) -> list[str]:
    with gzip.open(DATA / data / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


@contextmanager
def service(
    root: Path, *options: str, code: str | None = None
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A service as a process, and its port; `code` in place of the verb."""
    words = ["-C", str(root), "serve", "--port", "0", *options]
    command = [*BAPSIM, *words] if code is None else [sys.executable, "-c", code, str(root)]
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **ONE, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = None
    for line in process.stdout:
        found = re.search(r"http://[0-9.]+:([0-9]+)", line)
        if found:
            break
    assert found, "did not start"
    port = int(found[1])
    wait_for(port)
    try:
        yield process, port
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def wait_for(port: int) -> None:
    import http.client

    for _ in range(600):
        try:
            one = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            one.request("POST", "/predict", json.dumps({"rows": [{"text": "a"}]}), KIND)
            if one.getresponse().status == 200:
                one.close()
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("the service does not answer")


KIND = {"content-type": "application/json"}


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and its children that live."""
    total = 0.0
    for one in [pid, *children(pid)]:
        try:
            parts = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(parts[11]) + int(parts[12])) / TICK
    return total


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# --- load -----------------------------------------------------------------------------------------


def request(body: Any, path: str = "/predict") -> bytes:
    said = json.dumps(body, ensure_ascii=False).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(said)}\r\n\r\n".encode() + said


async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> bytes:
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    await reader.readexactly(size)
    return head[9:12]


async def closed(port: int, rows: int, clients: int, seconds: float, texts: list[str]) -> dict[str, float]:
    """As many requests as so many clients get answered, one after another."""
    done = 0
    end = time.perf_counter() + seconds

    async def client(k: int) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        rng = random.Random(k)
        some = [request({"rows": [{"text": t} for t in rng.choices(texts, k=rows)]}) for _ in range(50)]
        i = 0
        while time.perf_counter() < end:
            assert await asked(reader, writer, some[i % 50]) == b"200"
            done, i = done + rows, i + 1
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(client(k) for k in range(clients)))
    return {"rows": done, "seconds": time.perf_counter() - begun}


async def open_loop(port: int, rate: float, seconds: float, texts: list[str]) -> dict[str, float]:
    """Single rows at times drawn beforehand; latencies in seconds from when each was due."""
    rng, pool = random.Random(1), []
    found: list[float] = []
    failed = 0

    async def one(sent: bytes, due: float) -> None:
        nonlocal failed
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        pair = pool.pop() if pool else await asyncio.open_connection("127.0.0.1", port)
        failed += await asked(*pair, sent) != b"200"
        pool.append(pair)
        found.append(time.perf_counter() - due)

    tasks, due = [], time.perf_counter() + 0.5
    end = due + seconds
    while due < end:
        tasks.append(asyncio.create_task(one(request({"text": rng.choice(texts)}), due)))
        due += rng.expovariate(rate)
    await asyncio.gather(*tasks)
    cuts = statistics.quantiles(found, n=1000)
    return {"requests": len(found), "failed": failed, "p50": cuts[499], "p95": cuts[949], "p99": cuts[989]}


def generate(said: str) -> None:
    """The load generator's process: what it measured, as JSON."""
    want = json.loads(said)
    texts = texts_of(want.pop("data"))
    kind = open_loop if want.pop("open") else closed
    print(json.dumps(asyncio.run(kind(**want, texts=texts))))


def measure(pid: int, **want: Any) -> dict[str, float]:
    """Load from another process on a service; with the service's CPU seconds."""
    code = "import sys, service_load; service_load.generate(sys.argv[1])"
    before = cpu_of(pid)
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(want)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, float] = json.loads(done.stdout)
    return {**said, "cpu": cpu_of(pid) - before}


# --- services to compare with ---------------------------------------------------------------------


def bare(root: str) -> None:
    """The model as a function under the same server: rows checked by the framework, answers sent, no more."""
    import pyarrow as pa
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    from bapsim.core.records import Rows
    from bapsim.serve.release import model_folder
    from bapsim.serve.running import listen
    from bapsim.store import artifacts

    model: Any = artifacts.load(model_folder(Path(root), "t001-people"), Path(root))
    app = FastAPI()

    class Row(BaseModel):
        text: str

    class Asked(BaseModel):
        rows: list[Row]

    Asked.model_rebuild(_types_namespace={"Row": Row})

    async def predict(body: Asked) -> dict[str, Any]:
        rows = Rows(pa.record_batch({"text": pa.array([row.text for row in body.rows], pa.string())}))
        answers = model(rows)
        names = ("prediction", "confidence", "in_scope")
        columns = [answers.column(name).to_pylist() for name in names]
        return {"answers": [dict(zip(names, one, strict=True)) for one in zip(*columns, strict=True)]}

    predict.__annotations__["body"] = Asked
    app.post("/predict")(predict)
    held = listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{held.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[held])


def silent(root: str) -> None:
    """The service with a log that keeps nothing."""
    from bapsim.serve import deployment
    from bapsim.serve.log import Log
    from bapsim.serve.running import Setting, listen, serve

    Log.put = lambda *_: None  # type: ignore[method-assign]
    held = listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{held.getsockname()[1]}", flush=True)
    with deployment.held(Path(root), "silent") as lock:
        deployment.agreed(Path(root), "silent", {})
        serve(Setting(root=root, deployment="silent"), held, lock)


def fresh(root: Path) -> None:
    """Without the log of what was measured before."""
    shutil.rmtree(root / "inbox" / "service", ignore_errors=True)


def load_average() -> float:
    return float(Path("/proc/loadavg").read_text().split()[0])
