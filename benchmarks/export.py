"""Does an export give others the rows that the project has? Loaded by `datasets`, `mlcroissant` and pyarrow.

    python benchmarks/export.py --peer VENV/bin/python [VENV2/bin/python ...] [--keep FOLDER]

Projects live through the verbs: two turns on banking77 and nsmc_ko (with other rights, machine-made rows, a
crawl), one on the table ai4i2020; pictures of bccd, and names that would be markup, are gathered. What should
be in each split is read from the project's own shards, not through the code that exports. A peer is a python
with `datasets` and without a network (load_export.py). Then the cost of projects of growing size. Writes
docs/results/export.md.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402  threads are set first
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from bapsim.core.recipe import Recipe  # noqa: E402
from bapsim.core.records import Draft, Origin, Rows, Task  # noqa: E402
from bapsim.core.turn import Turn  # noqa: E402
from bapsim.ship.label import SPLITS  # noqa: E402
from bapsim.ship.release import Wanted  # noqa: E402
from bapsim.store.project import opened  # noqa: E402
from bapsim.wheel.audit import recount, stands, why_record  # noqa: E402
from bapsim.wheel.exporting import export  # noqa: E402
from bapsim.wheel.founding import load_recipe  # noqa: E402
from bapsim.wheel.gathering import gather  # noqa: E402
from bapsim.wheel.state import begin  # noqa: E402
from bapsim.wheel.stock import STATES, load_stock  # noqa: E402
from load_export import digest  # noqa: E402

DATA = Path(os.environ.get("BAPSIM_DATA", Path(__file__).parents[2] / "shared" / "data"))
RESULT = Path(__file__).parents[1] / "docs" / "results" / "export.md"
HERE = Path(__file__).parent
SEED = 7
LOOK = 40  # rows a split whose certificates are compared with what `why` tells


def rows_of(path: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines] if ".jsonl" in path else list(csv.DictReader(lines))


def typed(*words: object) -> dict[str, Any]:
    """Type a verb, as a person does; what its --json prints."""
    command = [sys.executable, "-c", "from bapsim.cli import main; main()", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


# --------------------------------------------------------------------------- projects


def banking77(root: Path) -> tuple[Path, None]:
    """3,000 labelled rows, 2,000 without; two people answer, 50 questions are answered by both."""
    rows = rows_of("banking77/train.jsonl.gz")
    order = np.random.default_rng(SEED).permutation(len(rows))[:5000]
    picked = [rows[i] | ({} if n < 3000 else {"intent": None}) for n, i in enumerate(order)]
    file = jsonl(root / "questions.jsonl", picked)
    wheel = root / "banking77"
    typed("new", wheel, "--from", file, "--text", "text", "--target", "intent")
    change(wheel, '"data/", maker="person", rights="own"', '"data/", maker="person", rights="CC-BY-4.0"')
    two_turns(wheel, {row["text"]: row["intent"] for row in rows}, "intent")
    return wheel, None


def nsmc_ko(root: Path) -> tuple[Path, None]:
    """Columns with Korean names; comments under other rights in the pool, slips by a machine, a crawl."""
    rng = np.random.default_rng(SEED)
    rows = [row for row in rows_of("nsmc_ko/train.jsonl.gz") if row["label"] is not None]
    order = rng.permutation(len(rows))[:5000]
    names = {0: "부정", 1: "긍정"}
    picked = [
        {
            "글": rows[i]["text"],
            "감정": names[rows[i]["label"]] if n < 3000 else None,
            "영화 번호": rows[i]["movie"],
        }
        for n, i in enumerate(order)
    ]
    wheel = root / "영화 리뷰"
    typed("new", wheel, "--from", jsonl(root / "reviews.jsonl", picked), "--text", "글", "--target", "감정")
    change(wheel, '"data/", maker="person", rights="own"', '"data/", maker="person", rights="CC0-1.0"')
    more = (
        '"comments": files("comments/", maker="person", rights="CC-BY-SA-4.0", labelled=False,'
        ' types={"글": "string", "감정": "string", "영화 번호": "string"}),\n'
        '        "crawl": files("crawl/", maker="unknown", types={"글": "string", "감정": "string"}),\n'
        '        "slips": misspell("data", share=0.05, rights="derived"),\n        '
    )
    change(wheel, '"experts": answers', more + '"experts": answers')
    change(
        wheel,
        "from bapsim.gather.files",
        "from bapsim.gather.augment import misspell\nfrom bapsim.gather.files",
    )
    pool = rows_of("hate_ko/unlabeled.jsonl.gz")[:1500]
    (wheel / "inbox/comments").mkdir()
    jsonl(
        wheel / "inbox/comments/news.jsonl",
        [{"글": row["text"], "감정": None, "영화 번호": None} for row in pool],
    )
    (wheel / "inbox/crawl").mkdir()
    crawl = [
        {"글": rows[i]["text"], "감정": names[rows[i]["label"]]} for i in rng.permutation(len(rows))[:200]
    ]
    jsonl(wheel / "inbox/crawl/found.jsonl", crawl)
    truth = {row["text"]: names[row["label"]] for row in rows} | {row["text"]: "부정" for row in pool}
    two_turns(wheel, truth, "감정")
    return wheel, None


def ai4i2020(root: Path) -> tuple[Path, None]:
    """A table of numbers and words with cells missing; a third of its rows have no label. One turn."""
    rows = rows_of("ai4i2020/ai4i.csv.gz")
    names = [
        name
        for name in rows[0]
        if not name.lower().startswith(("udi", "product", "twf", "hdf", "pwf", "osf", "rnf"))
    ]
    target = next(name for name in names if "failure" in name.lower())
    rng = np.random.default_rng(SEED)
    picked = [
        {k: v if rng.random() > 0.02 or k == target else "" for k, v in row.items() if k in names}
        for row in rows[:6000]
    ]
    for row in picked[4000:]:
        row[target] = ""
    file = root / "machines.csv"
    with file.open("w", encoding="utf-8", newline="") as sink:
        sheet = csv.DictWriter(sink, names)
        sheet.writeheader()
        sheet.writerows(picked)
    wheel = root / "ai4i2020"
    inputs = ",".join(name for name in names if name != target)
    typed("new", wheel, "--from", file, "--input", inputs, "--target", target)
    typed("-C", wheel, "turn")
    return wheel, None


def change(wheel: Path, old: str, new: str) -> None:
    recipe = wheel / "recipe.py"
    text = recipe.read_text("utf-8")
    assert old in text, text
    recipe.write_text(text.replace(old, new), "utf-8")


def two_turns(wheel: Path, truth: dict[str, str], target: str) -> None:
    typed("-C", wheel, "turn")
    sheet = wheel.parent / f"{target}.csv"
    typed("-C", wheel, "ask", "-o", sheet)
    asked = list(csv.DictReader(io.StringIO(sheet.read_text("utf-8-sig"))))
    labels = sorted(set(truth.values()))
    column = next(name for name in asked[0] if name not in ("_ask", "_suggested", "_note", target))
    for person, mine in (("first", asked), ("second", asked[:50])):
        path = wheel.parent / f"{person}.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as sink:
            out = csv.DictWriter(sink, list(asked[0]))
            out.writeheader()
            for i, row in enumerate(mine):
                text = (
                    row[column].removeprefix("'")
                    if row[column][:2] in ("'=", "'+", "'-", "'@")
                    else row[column]
                )
                said = truth.get(text, labels[0])
                slip = person == "second" and i % 10 == 0
                out.writerow(row | {target: labels[(labels.index(said) + 1) % len(labels)] if slip else said})
        typed("-C", wheel, "add", path)
    typed("-C", wheel, "turn")


# --------------------------------------------------------------------------- gathered without training


@dataclass(frozen=True)
class Given:
    """A source of batches that are there already."""

    batches: Any
    rights: str

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        made = Origin(
            source="given", input_maker="person", target_maker="person", method="files", rights=self.rights
        )
        for batch in self.batches():
            yield Draft(rows=Rows(batch), origin=made)


def gathered(root: Path, task: Task, batches: Any, rights: str) -> Recipe:
    """A project that has gathered, with a turn that ended at once: nothing is trained."""
    root.mkdir(parents=True)
    (root / "recipe.py").write_text("# a value\n")
    recipe = replace(only("text", "text"), task=task)
    with opened(root) as project:
        turn = begin(project, recipe)
        gather(project, {"given": Given(batches, rights)}, turn)  # type: ignore[dict-item]
        counts = recount(project, recipe)
        said = {"verdict": "undecided", "reason": "decision.no_exam", "reasons": {}, "wear": {"version": 0}}
        with project.ledger.change("turn done") as ledger:
            words = {"decision": json.dumps(said), "accounts": json.dumps(counts), "ended": "2026-01-01"}
            ledger.amend("turn", {"n": turn.n}, state="done", **words)
    return recipe


NAMES = ('a: "b"\n- c', "<b>|`", "..", "@id", " 한글 ")
WORDS = [
    "---\nx: y",
    "\u202e|`<script>",
    "\u2028\x00\x85",
    "",
    "'\"\\",
    "{{x}} ${y} *z* [a](b)",
    "가" * 9_000,
]


def hostile(root: Path) -> tuple[Path, Recipe]:
    """Names of columns, labels and rights that would be markup anywhere else."""
    task = Task(input=NAMES[:4], target=NAMES[4], kind="table")
    root = root / '---\n"x": |'
    gathered(root, task, strange, "own: |\n  - <b>")
    return root, replace(only("text", "text"), task=task)


def strange() -> Iterator[pa.RecordBatch]:
    rng = np.random.default_rng(SEED)
    picked = [[WORDS[i] for i in rng.integers(len(WORDS), size=500)] for _ in NAMES]
    yield pa.record_batch([pa.array(column) for column in picked], names=list(NAMES))


def only(column: str, kind: str) -> Recipe:
    """A recipe that names a task and nothing else."""
    task = Task(input=column, target="label", kind=kind)  # type: ignore[arg-type]
    return Recipe(task=task, sources={}, train=None, judge=None, metric=None, gate=None, exam=None)  # type: ignore[arg-type]


def bccd(root: Path) -> tuple[Path, Recipe]:
    """Pictures of blood cells as bytes; every fifth has no label."""
    recipe = only("image", "image")
    gathered(root / "bccd", recipe.task, photographs, "MIT")
    return root / "bccd", recipe


def photographs() -> Iterator[pa.RecordBatch]:
    with zipfile.ZipFile(DATA / "bccd/images.zip") as packed:
        names = [n for n in sorted(packed.namelist()) if n.lower().endswith((".jpg", ".jpeg", ".png"))]
        bodies = [packed.read(name) for name in names]
    labels = [None if i % 5 == 0 else f"cell {i % 3}" for i in range(len(bodies))]
    yield pa.record_batch({"image": pa.array(bodies, pa.binary()), "label": pa.array(labels, pa.string())})


@dataclass(frozen=True)
class Reviews:
    """So many different texts."""

    count: int

    def __call__(self) -> Iterator[pa.RecordBatch]:
        texts = [row["text"] for row in rows_of("nsmc_ko/train.jsonl.gz")]
        for start in range(0, self.count, 8192):
            at = range(start, min(start + 8192, self.count))
            said = [f"{texts[i % len(texts)]} {i // len(texts)}" for i in at]
            yield pa.record_batch({"text": said, "label": [str(i % 2) for i in at]})


@dataclass(frozen=True)
class Noise:
    """So many pictures of 64 KB that nothing makes smaller."""

    count: int

    def __call__(self) -> Iterator[pa.RecordBatch]:
        rng = np.random.default_rng(SEED)
        for start in range(0, self.count, 64):
            bodies = [b"\x89PNG" + rng.bytes(64 << 10) for _ in range(start, min(start + 64, self.count))]
            yield pa.record_batch(
                {"image": pa.array(bodies, pa.binary()), "label": pa.array(["a"] * len(bodies))}
            )


# --------------------------------------------------------------------------- what must be there

Found = dict[str, list[dict[str, Any]]]  # rows by configuration/split


def expected(wheel: Path, recipe: Recipe, columns: list[str]) -> Found:
    """The task's columns and ids of all rows, from the shards themselves."""
    found: Found = {}
    with opened(wheel, writing=False) as project:
        state = stands(project, load_stock(project, recipe.task)).tolist()
        for shard in project.shards():
            for one in pq.read_table(project.wheel / shard.path).to_pylist():
                split, config = SPLITS[STATES[state.pop(0)]]
                row = {"row_id": one["_id"].hex()} | {name: one.get(name) for name in recipe.task.columns}
                found.setdefault(f"{config}/{split}", []).append({name: row[name] for name in columns})
    return found


def by_arrow(out: Path, columns: list[str]) -> Found:
    """The same of the export, read by pyarrow alone."""
    found: Found = {}
    for path in sorted(out.glob("*/*.parquet")):
        config = "default" if path.parent.name == "data" else path.parent.name
        rows = pq.read_table(path, columns=columns).to_pylist()
        for row in rows:
            row |= {k: v["bytes"] for k, v in row.items() if isinstance(v, dict)}
        found.setdefault(f"{config}/{path.name.rsplit('-', 1)[0]}", []).extend(rows)
    return found


def by_croissant(out: Path, columns: list[str]) -> Found:
    """The same through croissant.json. pandas, in between, has one word for nan and null."""
    import mlcroissant

    said = json.loads((out / "croissant.json").read_text("utf-8"))
    dataset = mlcroissant.Dataset(str(out / "croissant.json"))
    found: Found = {}
    for records in said["recordSet"][1:]:
        names = {f["@id"]: f["source"]["extract"].get("column", "") for f in records["field"]}
        for row in dataset.records(records["@id"]):
            cells = {names[key]: value for key, value in row.items()}
            key = f"{records['@id']}/{cells[''].decode()}"
            found.setdefault(key, []).append({name: simple(cells[name]) for name in columns})
    return found


def simple(value: Any) -> Any:
    """A cell as Python has it: text, and one word for nan and null."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and np.isnan(value):
        return None
    return value.decode() if isinstance(value, bytes) else value


def digests(found: Found) -> dict[str, str]:
    return {key: digest(rows) for key, rows in found.items()}


def certificates_agree(wheel: Path, recipe: Recipe, out: Path) -> int:
    """How many rows were looked at: their certificate columns say what `why` says, or this raises."""
    looked = 0
    with opened(wheel, writing=False) as project:
        for path in sorted(out.glob("*/*.parquet")):
            rows = pq.read_table(path).to_pylist()
            for i in np.linspace(0, len(rows) - 1, min(LOOK, len(rows))).astype(int).tolist():
                row, said = rows[i], why_record(project, recipe, rows[i]["row_id"])
                about = said["certificate"]
                for name in ("source", "input_maker", "method", "input_depth", "turn"):
                    assert row[name] == about[name], (name, row, about)
                assert (row["parents"] or []) == said["parents"]
                assert about["rights"] in [*row["rights"], "derived"]
                aside = said["stands"] == "superseded"
                no = [one for one in said["verdicts"] if one["keep"] is False]
                why = [one["reason"] for one in no if (one["check"] == "superseded") == aside]
                assert "refused_for" not in row or not why or row["refused_for"] == why[0]
                looked += 1
    return looked


# --------------------------------------------------------------------------- the proof


def proven(
    name: str, wheel: Path, peers: list[str], keep: Path | None, recipe: Recipe | None = None
) -> dict[str, Any]:
    """Export everything in both formats, and read it back in every way."""
    recipe = recipe or load_recipe(wheel)
    pictures = str(recipe.task.kind) == "image"
    columns = ["row_id", *recipe.task.columns]
    truth = expected(wheel, recipe, columns)
    wanted, rows = digests(truth), {key: len(part) for key, part in truth.items()}
    places, found = {}, {"project": name, "rows": rows}
    for form in ("parquet",) if pictures else ("parquet", "jsonl"):
        places[form], again = (wheel.parent / f"{name}-{form}{n}" for n in ("", "-again"))
        exported(wheel, recipe, places[form], form)
        exported(wheel, recipe, again, form)
        found[f"{form} again"] = same_bytes(places[form], again)
    whole = places["parquet"]
    found["megabytes"] = sum(p.stat().st_size for p in whole.rglob("*") if p.is_file()) / 2**20
    found["pyarrow"] = digests(by_arrow(whole, columns)) == wanted
    if not pictures:
        same = {key: [{k: simple(v) for k, v in row.items()} for row in part] for key, part in truth.items()}
        found["mlcroissant"] = digests(by_croissant(whole, columns)) == digests(same)
    found["certificates"] = certificates_agree(wheel, recipe, whole)
    for peer in peers:
        for form, place in places.items():
            told = loaded(peer, place, columns)
            same = {key: split["sha256"] for key, split in told["splits"].items()} == wanted
            found[f"datasets {told['datasets']}, {form}"] = same
            if pictures:
                found["pictures that opened"] = told["pictures"]
    for lang in ("en", "ko") if keep is not None else ():
        shutil.rmtree(keep / f"{name}-{lang}", ignore_errors=True)
        exported(wheel, recipe, keep / f"{name}-{lang}", "parquet", lang)
    return found


def exported(wheel: Path, recipe: Recipe, out: Path, form: Any, lang: str = "en") -> None:
    with opened(wheel, writing=False) as project:
        export(project, recipe, Wanted(form=form, states=tuple(SPLITS)), out, lang)


def loaded(peer: str, folder: Path, columns: list[str]) -> dict[str, Any]:
    command = [peer, str(HERE / "load_export.py"), str(folder), *columns]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def same_bytes(a: Path, b: Path) -> bool:
    def files(root: Path) -> dict[str, bytes]:
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    return files(a) == files(b)


# --------------------------------------------------------------------------- cost


def cost(root: Path, task: Task, batches: Any, form: str) -> tuple[float, float]:
    """CPU seconds and peak MB of an export in a process of its own."""
    gathered(root, task, batches, "own")
    out = root.parent / f"{root.name}-{form}"
    words = [str(root), str(task.input), str(task.kind), str(out), form]
    done = subprocess.run(
        [sys.executable, __file__, "--one", *words], capture_output=True, text=True, check=True
    )
    shutil.rmtree(root)
    shutil.rmtree(out)
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def one(words: list[str]) -> None:
    """One export; prints its CPU seconds and the peak of its resident memory."""
    root, column, kind, out, form = words
    exported(Path(root), only(column, kind), Path(out), form)
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(time.process_time(), peak / 1024)


SIZES = (
    ("reviews", "text", 100_000),
    ("reviews", "text", 1_000_000),
    ("pictures of 64 KB", "image", 1_000),
    ("pictures of 64 KB", "image", 16_000),
)


def costs(root: Path) -> Iterator[list[str]]:
    for what, kind, count in SIZES:
        batches = Reviews(count) if kind == "text" else Noise(count)
        for form in ("parquet", "jsonl") if kind == "text" else ("parquet",):
            seconds, peak = cost(
                root / f"{kind}{count}", only("text" if kind == "text" else "image", kind).task, batches, form
            )
            yield [what, f"{count:,}", form, f"{seconds:.1f}", f"{peak:,.0f}"]
            print(what, count, form, f"{seconds:.1f} s", f"{peak:.0f} MB", flush=True)


# --------------------------------------------------------------------------- the page


def said(value: object) -> str:
    return {True: "yes", False: "**NO**"}.get(value, str(value)) if isinstance(value, bool) else str(value)  # type: ignore[call-overload]


def page(found: list[dict[str, Any]], costs: list[list[str]]) -> str:
    checks = list(dict.fromkeys(k for one in found for k in one if k not in ("project", "rows", "megabytes")))
    lines = [
        "# Exports, read back",
        "",
        f"`python benchmarks/export.py --peer VENV/bin/python ...` on {time.strftime('%Y-%m-%d')}; Python "
        f"{sys.version.split()[0]}, pyarrow {pa.__version__}; seed {SEED}. Every split of every project was "
        "read back, and every cell of the task's columns and of the ids compared with the project's own "
        'shards ("yes": all equal). Only the rows of a project are drawn, so there are no intervals. '
        "The peers have no network.",
        "",
        "| | " + " | ".join(one["project"] for one in found) + " |",
        "|---|" + "---|" * len(found),
        "| rows | "
        + " | ".join(", ".join(f"{k.split('/')[1]} {n:,}" for k, n in one["rows"].items()) for one in found)
        + " |",
        "| MB (Parquet) | " + " | ".join(f"{one['megabytes']:.2f}" for one in found) + " |",
    ]
    names = {
        "parquet again": "a second export has the same bytes (Parquet)",
        "jsonl again": "the same (JSON lines)",
        "certificates": "rows whose certificate says what `bapsim why` says, of as many looked at",
    }
    for check in checks:
        cells = (said(one[check]) if check in one else "–" for one in found)
        lines.append(
            f"| {names.get(check, check + ': same rows' if 'that' not in check else check)} | "
            + " | ".join(cells)
            + " |"
        )
    lines += [
        "",
        "## Cost",
        "",
        "Projects that have only gathered; each export is a process of its own: peak of its resident memory.",
        "",
        "| what | rows | format | CPU s | peak MB |",
        "|---|---:|---|---:|---:|",
        *("| " + " | ".join(row) + " |" for row in costs),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", nargs="*", default=[], help="pythons that have `datasets`")
    parser.add_argument("--keep", type=Path, help="keep the exports, in both languages, in this folder")
    parser.add_argument("--only", nargs="*", help="names of projects")
    parser.add_argument("--no-cost", action="store_true")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one)
        return
    os.environ["BAPSIM_KEY"] = f"{SEED:064x}"
    root = Path(tempfile.mkdtemp(prefix="bapsim-export-"))
    found = []
    try:
        for build in (banking77, nsmc_ko, ai4i2020, bccd, hostile):
            if not given.only or build.__name__ in given.only:
                (root / build.__name__).mkdir()
                wheel, recipe = build(root / build.__name__)
                found.append(proven(build.__name__, wheel, given.peer, given.keep, recipe))
                print(json.dumps(found[-1], ensure_ascii=False), flush=True)
        table = [] if given.no_cost else list(costs(root))
    finally:
        shutil.rmtree(root)
    if not given.only and not given.no_cost:
        RESULT.write_text(page(found, table), "utf-8")


if __name__ == "__main__":
    main()
