"""The full circle by itself: a service, its log, an expert, `bapsim watch`; nobody types a verb in between.

    python benchmarks/circle.py [--world clinc150|nsmc_ko|bccd] [--seeds 20] [--first 0] [--jobs 1] [--page]

`bapsim new`, then `bapsim watch` and `bapsim serve` as processes. A generator replays a stream over HTTP; for
a tenth of the requests the right label comes back late, from four desks, one of which gives a random other
label in 40 %. A scripted expert fills in each sheet that appears ("cannot tell" for what fits no class).
Half-way a canary is started that fails. Measured on traffic that is never sent. Writes
docs/results/circle.md, circle_WORLD.json and docs/circle.svg, the story of one life.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import openpyxl  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from bapsim.client import Client  # noqa: E402
from bapsim.core.records import Rows  # noqa: E402
from bapsim.judge.ranking import auroc_of  # noqa: E402
from bapsim.serve import release  # noqa: E402
from bapsim.store import artifacts  # noqa: E402
from circle_page import page, story  # noqa: E402
from circle_worlds import NAMES, OOS, WORLDS, Row, World  # noqa: E402
from lab import new_folder  # noqa: E402

OUT = Path(__file__).parent.parent / "docs" / "results"
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


# --------------------------------------------------------------------------- people


Sent = list[tuple[str, Row]]  # requests by name, with the rows that they asked about


def labels_of(root: Path, truth: dict[str, str]) -> dict[str, str]:
    """The true label of every record by its id; truth: by request, or by the text or file of a first row."""
    found = {}
    for path in sorted((root / "wheel" / "records").rglob("*.parquet")):
        columns = set(pq.read_schema(path).names)
        name = "request" if "request" in columns else "file" if "file" in columns else "text"
        table = pq.ParquetFile(path).read(columns=["_id", name])
        for i, said in zip(table.column("_id").to_pylist(), table.column(name).to_pylist(), strict=True):
            label = truth.get(str(said).rpartition("/")[2] if name == "file" else said)
            if label is not None:
                found[i.hex()] = label
    return found


def fill(sheet: Path, into: Path, labels: dict[str, str]) -> None:
    """The expert fills in a sheet and drops it into the inbox; labels: by the record's id."""
    book = openpyxl.load_workbook(sheet)
    table = book.active
    head = [cell.value for cell in table[1]]
    for row in table.iter_rows(min_row=2):
        label = labels[row[head.index("_ask")].value.removeprefix("q")]
        row[head.index("label")].value = "cannot tell" if label == OOS else label
    into.parent.mkdir(parents=True, exist_ok=True)
    book.save(into.with_suffix(".tmp"))
    into.with_suffix(".tmp").rename(into)


def late(client: Client, sent: Sent, rng: np.random.Generator, names: list[str]) -> None:
    """What users say of a tenth of the requests, some time after they were answered."""
    for i in rng.permutation(len(sent))[: round(FEEDBACK * len(sent))].tolist():
        request, row = sent[i]
        desk, label = DESKS[int(rng.integers(len(DESKS)))], row.label
        if desk == DESKS[-1] and rng.random() < POISONED:
            others = [name for name in names if name != label]
            label = others[int(rng.integers(len(others)))]
        if label == OOS:
            client.feedback(request, out_of_scope=True, by=desk)
        else:
            client.feedback(request, correction=label, by=desk)


# --------------------------------------------------------------------------- one life


@dataclass
class Life:
    """The processes of one project, and what is known of them from outside."""

    root: Path
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
    """`bapsim new`, and the few changes of the recipe."""
    origin, words = root.parent / "start", ["--text", "text", "--target", "label"]
    if mine.pictures:
        words = ["--target", "label"]
        for i, row in enumerate(mine.start):
            place = origin / row.label / f"start{i:04d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(row.input)
    else:
        origin = origin.with_suffix(".csv")
        with origin.open("w", encoding="utf-8", newline="") as sink:
            csv.writer(sink).writerows([("text", "label"), *((row.input, row.label) for row in mine.start)])
    subprocess.run([*PROGRAM, "new", root, "--from", origin, *words], check=True, capture_output=True)
    recipe = root / "recipe.py"
    said = recipe.read_text("utf-8")
    for old, new in mine.changes:
        assert old in said, old
        said = said.replace(old, new)
    title, rest = said.split("\n\n", 1)
    recipe.write_text(f"{title}\n\nfrom bapsim.compose.when import when\n{rest}", "utf-8")
    (root / "broken.py").write_text(BROKEN.replace("bapsim.train.text", _loader(mine)), "utf-8")


def _loader(mine: World) -> str:
    return "bapsim.train.image" if mine.pictures else "bapsim.train.text"


def rows_of(some: list[Row], mine: World) -> Rows:
    kind = pa.large_binary() if mine.pictures else pa.string()
    name = "image" if mine.pictures else "text"
    return Rows(pa.record_batch({name: pa.array([row.input for row in some], kind)}))


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
    """What a version is worth on untouched traffic; right: which items, so that two can be compared."""
    model = artifacts.load(root / "wheel" / "models" / "main" / version / "served", root)
    answers = model(rows_of(mine.untouched, mine))
    gold = np.array([row.label for row in mine.untouched], object)
    said = np.array(answers["prediction"].to_pylist(), object)
    inside = gold != OOS
    found: dict[str, Any] = {"accuracy": float((said == gold)[inside].mean()), "f1": {}}
    if not inside.all():
        scope = answers["in_scope"].to_numpy().astype(np.float64)
        found["auroc"] = float(auroc_of(inside, scope, np.ones((1, len(gold))))[0])
    for label in (*mine.missing, *([mine.rare] if mine.rare else [])):
        hit = ((said == label) & (gold == label)).sum()
        found["f1"][label] = float(2 * hit / max((said == label)[inside].sum() + (gold == label).sum(), 1))
    return found | {"right": np.packbits((said == gold)[inside]).tobytes().hex()}


def asked_about(root: Path, labels: dict[str, str]) -> dict[str, dict[int, list[str]]]:
    """The true labels of the questions, by why and turn."""
    db = sqlite3.connect(f"file:{root}/wheel/ledger.sqlite?mode=ro", uri=True)
    asked = db.execute("select id, turn, why from asking").fetchall()
    db.close()
    found: dict[str, dict[int, list[str]]] = {}
    for i, turn, why in asked:
        found.setdefault(why, {}).setdefault(turn, []).append(labels[i.hex()])
    return found


def send(client: Client, part: list[Row], mine: World, truth: dict[str, str]) -> Sent:
    """One request after the other; clients keep the model that they were given."""
    sent: Sent = []
    for at, row in enumerate(part):
        if mine.pictures:
            answer = client.predict(picture=row.input)
        else:
            answer = client.predict(row={"text": row.input, "key": f"user-{at % 200}"})
        truth[answer.request] = row.label
        sent.append((answer.request, row))
    return sent


def lived(job: tuple[str, int]) -> dict[str, Any]:
    """One life of the circle, with real processes."""
    name, seed = job
    mine = WORLDS[name](seed)
    root = new_folder() / "project"
    os.environ["BAPSIM_KEY"] = f"{seed:064x}"
    truth = {row.input: row.label for row in mine.start if isinstance(row.input, str)}
    truth |= {f"start{i:04d}.png": row.label for i, row in enumerate(mine.start) if mine.pictures}
    labels = sorted({row.label for row in mine.stream} - {OOS})
    rng, began = np.random.default_rng([seed, 7]), time.monotonic()
    founded(root, mine)
    life = Life(root)
    try:
        life.start("watch", "--every", "0.5")
        life.wait(1)
        port = free_port()
        life.start("serve", "--port", str(port), "--rights", "own", "--purpose", "to answer better")
        with Client(f"http://127.0.0.1:{port}") as client:
            healthy(client)
            answered: set[str] = set()
            ends = np.cumsum(mine.phases).tolist()
            for phase, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
                before = len(life.history())
                if phase == len(mine.phases) // 2:
                    fail_half_way(root)
                late(client, send(client, mine.stream[start:end], mine, truth), rng, labels)
                for sheet in sorted(root.glob("questions/turn-*.xlsx")):
                    if sheet.name not in answered:
                        answered.add(sheet.name)
                        fill(sheet, root / "inbox" / "answers" / sheet.name, labels_of(root, truth))
                life.wait(before + 1)
                time.sleep(2)  # a turn that the same phase pays for
                while (root / "wheel" / "snapshot").exists():
                    time.sleep(0.2)
        past = release.read(root)
    finally:
        life.stop()
    turns, measures = told(life, mine)
    asked = asked_about(root, labels_of(root, truth))
    result = {
        "world": name,
        "seed": seed,
        "turns": turns,
        "measured": measures,
        "missing": list(mine.missing),
        "proposed": asked.get("new_class", {}),
        "rare": rare_found(mine, asked),
        "history": life.history(),
        "rolled_back": [e._asdict() for e in past.history if e.what == "rollback"],
        "seconds": time.monotonic() - began,
    }
    shutil.rmtree(root.parent, ignore_errors=True)
    return result


def rare_found(mine: World, asked: dict[str, dict[int, list[str]]]) -> dict[str, float] | None:
    """Of the class that is looked for: its share in what was asked as likely, and in the stream."""
    if mine.rare is None:
        return None
    shown = [label for turn in asked.get("rare", {}).values() for label in turn]
    share = sum(row.label == mine.rare for row in mine.stream) / len(mine.stream)
    return {"shown": len(shown), "found": shown.count(mine.rare), "share": share}


def told(life: Life, mine: World) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What each turn said, and what each version that served is worth."""
    measures: dict[str, Any] = {}
    turns = []
    for one in life.turns():
        version = one["serves"]["version"] if one["serves"] is not None else None
        if version is not None and version not in measures:
            measures[version] = measured(life.root, version, mine)
        aside = [s["name"] for s in one["suspects"] if s["refused"]]
        asked = {why: of["count"] for why, of in one["asked"].items()}
        duel = one["duel"] and one["duel"]["verdict"]
        about = {"turn": one["turn"], "verdict": one["decision"]["verdict"], "serves": version, "duel": duel}
        turns.append(about | {"aside": aside, "asked": asked, "rows": one["train_rows"]})
    return turns, measures


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
    say.add_argument("--world", choices=NAMES, default="clinc150")
    say.add_argument("--seeds", type=int, default=20)
    say.add_argument("--first", type=int, default=0)
    say.add_argument("--jobs", type=int, default=1)
    say.add_argument("--page", action="store_true", help="write the page anew from the lives that are there")
    args = say.parse_args()
    file = OUT / f"circle_{args.world}.json"
    wanted = range(args.first, args.first + args.seeds)
    known = json.loads(file.read_text("utf-8")) if file.exists() else []
    if not args.page:
        known = [one for one in known if one["seed"] not in wanted]
        with get_context("spawn").Pool(args.jobs, maxtasksperchild=1) as pool:
            for one in pool.imap_unordered(lived, [(args.world, seed) for seed in wanted]):
                known.append(json.loads(json.dumps(one)))
                shown = [f"{100 * one['measured'][t['serves']]['accuracy']:.1f}" for t in one["turns"]]
                print(one["seed"], *shown, *(t["verdict"] for t in one["turns"]), flush=True)
                known.sort(key=lambda life: life["seed"])
                file.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")
    files = {name: OUT / f"circle_{name}.json" for name in NAMES}
    lives = {name: json.loads(file.read_text("utf-8")) for name, file in files.items() if file.exists()}
    (OUT / "circle.md").write_text(page(lives), "utf-8")
    if "clinc150" in lives:
        (OUT.parent / "circle.svg").write_text(story(lives["clinc150"][0]), "utf-8")


if __name__ == "__main__":
    main()
