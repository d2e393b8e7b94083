"""The full circle by itself: a service, its log, an expert, `bapsim watch`; nobody types a verb in between.

    python benchmarks/circle.py [--seeds 20] [--first 0] [--jobs 1] [--page]

clinc150 from 10 rows a class, 20 of its 150 classes missing. `bapsim new`, then `bapsim watch` and `bapsim
serve` as processes. A generator replays the service stream over HTTP, 1,200 requests between two turns, out
of scope ones among them; for a tenth of them the right label comes back late, from four desks, one of which
gives a random other label in 40 %. A scripted expert fills in each sheet that appears (300 questions at most,
"cannot tell" for what fits no class). Half-way a canary is started that fails. Measured on traffic that is
never sent: accuracy and out-of-scope AUROC of what serves after each turn, F1 of the missing classes. Writes
docs/results/circle.md, circle.json and docs/circle.svg, the story of the first seed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import openpyxl  # noqa: E402
import pyarrow as pa  # noqa: E402

from bapsim.client import Client  # noqa: E402
from bapsim.core.records import Rows  # noqa: E402
from bapsim.judge.ranking import auroc_of  # noqa: E402
from bapsim.serve import release  # noqa: E402
from bapsim.store import artifacts  # noqa: E402
from circle_page import page, story  # noqa: E402
from lab import DATA, new_folder  # noqa: E402

OUT = Path(__file__).parent.parent / "docs" / "results"
PER_CLASS, MISSING = 10, 20
PHASES = (1600, *[1200] * 6)  # requests before each turn; the first comes without answers, by corrections
FEEDBACK, POISONED, DESKS = 0.1, 0.4, ("desk-1", "desk-2", "desk-3", "desk-4")
PROGRAM = [sys.executable, "-c", "from bapsim.cli import main; main()"]
BROKEN = '''"""A release that nobody should have made: it fails on every other request."""
import itertools

from bapsim.train.text import load as real

_COUNT = itertools.count()


def load(folder):
    model = real(folder)

    class Broken:
        classes = model.classes

        def __call__(self, rows):
            if next(_COUNT) % 2:
                raise RuntimeError("out of memory on the card")
            return model(rows)

        def save(self, folder):
            raise NotImplementedError

    return Broken()
'''


def rows_of(part: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / "clinc150" / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@dataclass(frozen=True)
class World:
    """What one seed has at hand, what is asked of its service, and what is never sent."""

    seed: int
    start: list[dict[str, Any]]
    stream: list[dict[str, Any]]
    untouched: list[dict[str, Any]]
    missing: frozenset[str]


def world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    train, service, val = rows_of("train"), rows_of("service"), rows_of("val")
    classes = sorted({r["intent"] for r in train} - {"oos"})
    missing = frozenset(rng.permutation(classes)[:MISSING].tolist())
    order = rng.permutation(len(train)).tolist()
    counts, start, rest = Counter[str](), [], []
    for i in order:
        row = train[i]
        if row["intent"] not in missing | {"oos"} and counts[row["intent"]] < PER_CLASS:
            counts[row["intent"]] += 1
            start.append(row)
        else:
            rest.append(row)
    strange = [r for r in service if r["intent"] == "oos"]
    half = len(strange) // 2
    stream = [*rest, *(r for r in service if r["intent"] != "oos"), *strange[:half]]
    stream = [stream[i] for i in rng.permutation(len(stream)).tolist()][: sum(PHASES)]
    untouched = [*val, *strange[half:]]
    sent = {r["text"] for r in [*stream, *start]}
    return World(seed, start, stream, [r for r in untouched if r["text"] not in sent], missing)


# --------------------------------------------------------------------------- people


def fill(sheet: Path, into: Path, truth: dict[str, str]) -> Counter[str]:
    """The expert fills in a sheet and drops it into the inbox; the labels that were given."""
    book = openpyxl.load_workbook(sheet)
    table = book.active
    head = [cell.value for cell in table[1]]
    said = Counter[str]()
    for row in table.iter_rows(min_row=2):
        label = truth[row[head.index("text")].value]
        said[label] += 1
        row[head.index("label")].value = "cannot tell" if label == "oos" else label
    into.parent.mkdir(parents=True, exist_ok=True)
    book.save(into.with_suffix(".tmp"))
    into.with_suffix(".tmp").rename(into)
    return said


Sent = list[tuple[str, dict[str, Any]]]  # requests by name, with the rows that they asked about


def late(client: Client, sent: Sent, rng: np.random.Generator, names: list[str]) -> None:
    """What users say of a tenth of the requests, some time after they were answered."""
    for i in rng.permutation(len(sent))[: round(FEEDBACK * len(sent))].tolist():
        request, row = sent[i]
        desk = DESKS[int(rng.integers(len(DESKS)))]
        label = row["intent"]
        if desk == DESKS[-1] and rng.random() < POISONED:
            label = names[int(rng.integers(len(names)))]
        if label == "oos":
            client.feedback(request, out_of_scope=True, by=desk)
        else:
            client.feedback(request, correction=label, by=desk)


# --------------------------------------------------------------------------- one life


@dataclass
class Life:
    """The processes of one project, and what is known of them from outside."""

    root: Path
    url: str = ""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str) -> None:
        with (self.root / f"{words[0]}.out").open("ab") as out:
            command = [*PROGRAM, "-C", str(self.root), *words]
            self.running.append(subprocess.Popen(command, stdout=out, stderr=out))

    def stop(self) -> None:
        for one in self.running:
            one.send_signal(signal.SIGTERM)
        for one in self.running:
            one.wait(30)

    def history(self) -> list[str]:
        place = self.root / "reports" / "history.txt"
        return place.read_text("utf-8").splitlines() if place.exists() else []

    def turns(self) -> list[dict[str, Any]]:
        return [
            json.loads(p.read_text("utf-8")) for p in sorted(self.root.glob("reports/turn-*/report.json"))
        ]

    def wait(self, lines: int, seconds: float = 600) -> None:
        """Until so many turns are told, and no other one begins."""
        end = time.monotonic() + seconds
        while len(self.history()) < lines:
            well = time.monotonic() < end and all(one.poll() is None for one in self.running)
            assert well, "\n".join(p.read_text()[-2000:] for p in self.root.glob("*.out"))
            time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def founded(root: Path, mine: World) -> None:
    """`bapsim new`, and a recipe of which two lines were changed."""
    file = root.parent / f"{root.name}.csv"
    with file.open("w", encoding="utf-8", newline="") as sink:
        sheet = csv.writer(sink)
        sheet.writerow(["text", "label"])
        sheet.writerows([r["text"], r["intent"]] for r in mine.start)
    words = [*PROGRAM, "new", str(root), "--from", str(file), "--text", "text", "--target", "label"]
    subprocess.run(words, check=True, capture_output=True)
    file.unlink()
    recipe = root / "recipe.py"
    said = recipe.read_text("utf-8").replace("budget=200", "budget=300")
    said = said.replace("exam=exam(),", "exam=exam(), when=when(answers=100, corrections=130, drift=99),")
    title, rest = said.split("\n\n", 1)
    recipe.write_text(f"{title}\n\nfrom bapsim.compose.when import when\n{rest}", "utf-8")
    (root / "broken.py").write_text(BROKEN, "utf-8")


def fail_half_way(root: Path) -> None:
    """Somebody starts a canary that should never have been made."""
    serves = release.serving(root, release.read(root))
    models = root / "wheel" / "models" / "main"
    shutil.copytree(models / str(serves) / "served", models / "bad" / "served")
    about = models / "bad" / "served" / "model.json"
    said = json.loads(about.read_text("utf-8"))
    about.write_text(json.dumps(said | {"loader": "broken:load"}), "utf-8")
    release.change(root, "canary", "bad", "a release that fails", share=0.2)


def measured(root: Path, version: str, mine: World) -> dict[str, Any]:
    """What a version is worth on untouched traffic."""
    model = artifacts.load(root / "wheel" / "models" / "main" / version / "served", root)
    texts = pa.array([r["text"] for r in mine.untouched], pa.string())
    answers = model(Rows(pa.record_batch({"text": texts})))
    gold = np.array([r["intent"] for r in mine.untouched], object)
    said = np.array(answers["prediction"].to_pylist(), object)
    inside = gold != "oos"
    scope = answers["in_scope"].to_numpy().astype(np.float64)
    auroc = float(auroc_of(inside, scope, np.ones((1, len(gold))))[0])
    f1 = {}
    for label in sorted(mine.missing):
        hit = ((said == label) & (gold == label)).sum()
        f1[label] = float(2 * hit / max((said == label)[inside].sum() + (gold == label).sum(), 1))
    right = (said == gold)[inside]
    return {
        "accuracy": float(right.mean()),
        "auroc": auroc,
        "f1": f1,
        "right": np.packbits(right).tobytes().hex(),
    }


def proposed(root: Path, truth: dict[str, str]) -> dict[int, list[str]]:
    """The classes of the questions that were asked as examples of a new class, by turn."""
    import sqlite3

    found: dict[int, list[str]] = {}
    db = sqlite3.connect(f"file:{root}/wheel/ledger.sqlite?mode=ro", uri=True)
    asked = db.execute("select id, turn from asking where why='new_class'").fetchall()
    db.close()
    texts = {}
    for path in sorted((root / "wheel" / "records").rglob("*.parquet")):
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        texts |= dict(zip(table["_id"].to_pylist(), table["text"].to_pylist(), strict=True))
    for i, turn in asked:
        found.setdefault(turn, []).append(truth[texts[i]])
    return found


def lived(seed: int) -> dict[str, Any]:
    """One life of the circle, with real processes."""
    mine = world(seed)
    root = new_folder() / "bank"
    os.environ["BAPSIM_KEY"] = f"{seed:064x}"
    truth = {r["text"]: r["intent"] for r in [*mine.start, *mine.stream]}
    names = sorted(set(truth.values()) - {"oos"})
    rng = np.random.default_rng([seed, 7])
    founded(root, mine)
    life, began = Life(root), time.monotonic()
    measures: dict[str, dict[str, Any]] = {}
    try:
        life.start("watch", "--every", "0.5")
        life.wait(1)
        port = free_port()
        life.url = f"http://127.0.0.1:{port}"
        life.start("serve", "--port", str(port), "--rights", "own", "--purpose", "to answer better")
        with Client(life.url) as client:
            healthy(client)
            answered: set[str] = set()
            ends = np.cumsum(PHASES).tolist()
            for phase, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                before = len(life.history())
                if phase == len(PHASES) // 2:
                    fail_half_way(root)
                part = mine.stream[start:end]
                sent: Sent = []
                for at in range(0, len(part), 8):
                    some = part[at : at + 8]
                    for key, row in enumerate(some):
                        answer = client.predict(row={"text": row["text"], "key": f"user-{(at + key) % 200}"})
                        sent.append((answer.request, row))
                late(client, sent, rng, names)
                for sheet in sorted(root.glob("questions/turn-*.xlsx")):
                    if sheet.name not in answered:
                        answered.add(sheet.name)
                        fill(sheet, root / "inbox" / "answers" / sheet.name, truth)
                life.wait(before + 1)
                time.sleep(2)  # a turn that the same phase pays for
                while (root / "wheel" / "snapshot").exists():
                    time.sleep(0.2)
        health = release.read(root)
    finally:
        life.stop()
    told = []
    for one in life.turns():
        version = one["serves"]["version"] if one["serves"] is not None else None
        if version is not None and version not in measures:
            measures[version] = measured(root, version, mine)
        aside = [s["name"] for s in one["suspects"] if s["refused"]]
        told.append(
            {
                "turn": one["turn"],
                "verdict": one["decision"]["verdict"],
                "serves": version,
                "aside": aside,
                "questions": one["questions"],
                "asked": {w: a["count"] for w, a in one["asked"].items()},
                "duel": one["duel"] and one["duel"]["verdict"],
                "rows": one["train_rows"],
            }
        )
    result = {
        "seed": seed,
        "turns": told,
        "measured": measures,
        "missing": sorted(mine.missing),
        "proposed": proposed(root, truth),
        "history": life.history(),
        "rolled_back": [e._asdict() for e in health.history if e.what == "rollback"],
        "seconds": time.monotonic() - began,
    }
    shutil.rmtree(root.parent, ignore_errors=True)
    return result


def healthy(client: Client) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            client.health()
            return
        except Exception:  # noqa: BLE001  not up yet
            assert time.monotonic() < end, "the service does not start"
            time.sleep(0.2)


def main() -> None:
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--seeds", type=int, default=20)
    say.add_argument("--first", type=int, default=0)
    say.add_argument("--jobs", type=int, default=1)
    say.add_argument("--page", action="store_true", help="write the page anew from circle.json")
    args = say.parse_args()
    file = OUT / "circle.json"
    known = json.loads(file.read_text("utf-8")) if file.exists() else []
    wanted = range(args.first, args.first + args.seeds)
    if not args.page:
        known = [one for one in known if one["seed"] not in wanted]
        with get_context("spawn").Pool(args.jobs, maxtasksperchild=1) as pool:
            for one in pool.imap_unordered(lived, wanted):
                known.append(json.loads(json.dumps(one)))
                shown = " ".join(
                    f"{100 * one['measured'][t['serves']]['accuracy']:.1f}" for t in one["turns"]
                )
                print(one["seed"], shown, [t["verdict"] for t in one["turns"]], flush=True)
                known.sort(key=lambda life: life["seed"])
                file.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (OUT / "circle.md").write_text(page(known), "utf-8")
    (OUT.parent / "circle.svg").write_text(story(known[0]), "utf-8")


if __name__ == "__main__":
    main()
