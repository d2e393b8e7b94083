"""Do verifiers let wrong answers in? Audits on people's answers, on GPT-3's solutions, on others' scorers.

    python -m venv /tmp/gym && /tmp/gym/bin/pip install reasoning-gym==0.1.25
    OMP_NUM_THREADS=1 python benchmarks/verifiers.py [--gym /tmp/gym/bin/python] [--quick]

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/verifiers.{json,md}. Without --gym the part on
reasoning-gym is taken from the json that is there.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import platform
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bapsim.core.records import Task
from bapsim.refine.agreement import settled_answer, voices
from bapsim.refine.agrees import agrees
from bapsim.refine.arithmetic import right_arithmetic
from bapsim.refine.code import passes_tests, program, same_program
from bapsim.refine.grounding import grounded
from bapsim.refine.known_answer import known_answer
from bapsim.refine.mutation import TEXT_KINDS, Audit, admits, audit, bounds
from bapsim.refine.query import same_result
from bapsim.testing import dataset_of, records_of, turn_of
from bapsim.text.grounds import claims, support, tokens
from bapsim.train.text import text_linear

ROOT = Path(__file__).resolve().parent.parent
DATA = (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()
OUT = ROOT / "docs" / "results"
SEED = 20261124
MUST_FLAG = (
    "game_of_life_halting",
    "number_sorting",
    "gsm_symbolic",
    "knights_knaves",
    "power_function",
    "decimal_arithmetic",
)
SLOW = {
    "futoshiki",
    "intermediate_integration",
    "knight_swap",
    "zebra_puzzles",
    "arc_agi",
    "rearc",
    "composite",
}


def rows(path: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def summary(said: Audit, seconds: float) -> dict[str, Any]:
    return {
        "gold": said.gold,
        "refused": said.refused,
        "abstained": said.abstained,
        "answers": said.answers,
        "fooled": said.fooled,
        "upper": said.upper,
        "tried": said.tried,
        "taken": said.taken,
        "equal": said.equal,
        "admits": admits(said),
        "kinds": {k.name: [k.taken, k.tried, k.low, k.high] for k in said.kinds if k.tried},
        "cpu_seconds": seconds,
    }


def timed(make: Any) -> dict[str, Any]:
    started = sum(os.times()[:4])
    said = make()
    return summary(said, sum(os.times()[:4]) - started)


# ------------------------------------------------------------------ people's answers


def passages(name: str) -> list[tuple[dict[str, Any], str]]:
    """A paragraph and one of its sentences, up to three a document."""
    rng, found = np.random.default_rng(SEED), []
    for one in rows(f"{name}/docs.jsonl.gz"):
        parts = [p for p in one["text"].split("\n\n") if 200 < len(p) < 2000 and "```" not in p][:3]
        for part in parts:
            if said := [c for c in claims(part) if len(tokens(c)) > 3]:
                found.append(({"passage": part}, said[int(rng.integers(len(said)))]))
    return found


def shop(folder: Path) -> list[tuple[dict[str, Any], str]]:
    """A made-up shop in two databases, and queries of eleven forms with differing numbers."""
    rng = np.random.default_rng(SEED)
    for name in ("one", "two"):
        base = sqlite3.connect(folder / f"{name}.sqlite")
        base.execute("create table sale (id integer, item text, city text, won integer, day integer)")
        cities, items = ("Seoul", "Busan", "Daegu", "Jeju"), ("bread", "milk", "rice", "tea", "salt")
        for n in range(2000):
            drawn = (n, items[rng.integers(5)], cities[rng.integers(4)])
            base.execute("insert into sale values (?,?,?,?,?)", (*drawn, *rng.integers(1, 1000, 2).tolist()))
        base.commit()
        base.close()
    forms = (
        "select count(*) from sale where won > {a}",
        "select item, sum(won) from sale where day < {a} group by item",
        "select city, avg(won) from sale where won between {b} and {a} group by city",
        "select id from sale where won > {a} and city = 'Seoul'",
        "select id from sale where day < {b} order by won desc, id",
        "select max(won) from sale where day > {a} and item = 'tea'",
        "select distinct item from sale where won = {a} or day = {b}",
        "select city, count(*) from sale where day < {a} group by city having count(*) > {c}",
        "select id, won from sale where won > {a} order by day, id limit {c}",
        "select sum(won * day) from sale where id < {a}",
        "select item from sale where won = (select max(won) from sale where day < {a}) order by id",
    )
    made = []
    for n in range(330):
        a, b, c = (int(v) for v in (rng.integers(300, 990), rng.integers(5, 300), rng.integers(5, 60)))
        query = forms[n % len(forms)].format(a=a, b=b, c=c)
        made.append(({"sql": query}, query))
    return made


def audits(quick: bool) -> dict[str, Any]:
    most = 60 if quick else 600
    gsm, dev = rows("gsm8k/train.jsonl.gz"), rows("gsm8k/dev.jsonl.gz")
    bbh = rows("bbh/bbh.jsonl.gz")
    np.random.default_rng(SEED).shuffle(bbh)
    found: dict[str, Any] = {}

    def run(name: str, verify: Any, items: list[Any], **more: Any) -> None:
        found[name] = timed(lambda: audit(verify, items[:most], seed=SEED, **more))
        print(name, found[name], flush=True)

    run("known answer, bbh", known_answer("target").accepts, [(one, one["target"]) for one in bbh])
    run("known answer, gsm8k", known_answer("answer").accepts, [(one, one["answer"]) for one in dev])
    worked = [(one, one["solution"]) for one in dev]
    run("known answer, gsm8k, worked", known_answer("answer").accepts, worked, equals=same_end)
    run("arithmetic, gsm8k", right_arithmetic().accepts, [(one, one["solution"]) for one in gsm])
    for name in ("lm_ko", "lm_en"):
        check = grounded("passage")
        run(f"grounded, {name}", check.accepts, passages(name), equals=same_words)
    with tempfile.TemporaryDirectory() as folder:
        items = shop(Path(folder))
        one, two = (str(Path(folder) / f"{name}.sqlite") for name in ("one", "two"))
        run("query, one database", same_result("sql", one).accepts, items)
        run("query, two databases", same_result("sql", one, two).accepts, items)
    code = [(one, one["canonical_solution"]) for one in rows("humaneval/humaneval.jsonl.gz")]
    run("unit tests, humaneval", passes_tests().accepts, code, equals=same_code)
    return found


def same_end(asked: Any, one: str, other: str) -> bool:
    return settled_answer(one) == settled_answer(other)


def same_words(asked: Any, one: str, other: str) -> bool:
    return tokens(one) == tokens(other)


def same_code(asked: Any, one: str, other: str) -> bool:
    return same_program(*(program(asked["prompt"], text, asked["entry_point"]) for text in (one, other)))


# ------------------------------------------------------------------ answers of real models


def solutions() -> dict[str, Any]:
    """Which of GPT-3's solutions each rule takes; intervals by drawing questions again."""
    made = rows("gsm8k/model_solutions.jsonl.gz")
    question = np.unique([one["id"] for one in made], return_inverse=True)[1]
    right = np.array([one["is_correct"] for one in made], bool)
    check = right_arithmetic()
    sums = np.array([check.accepts("", one["solution"]) is True for one in made])
    ids, models = [one["id"] for one in made], [one["model"] for one in made]
    answers = [settled_answer(one["solution"]) for one in made]
    rules = {"all": np.ones(len(made), bool), "arithmetic": sums}
    for least in (2, 3, 4):
        taken = voices(ids, answers, models, least).taken
        rules[f"{least} of 4 models agree"] = np.array([one is True for one in taken])
        checked = [answer if ok else None for answer, ok in zip(answers, sums, strict=True)]
        taken = voices(ids, checked, models, least).taken
        rules[f"{least} of 4 models agree, arithmetic right"] = np.array([one is True for one in taken])
    rng = np.random.default_rng(SEED)
    return {name: measured(taken, right, question, rng) for name, taken in rules.items()}


def measured(taken: np.ndarray, right: np.ndarray, question: np.ndarray, rng: Any) -> dict[str, Any]:
    count = question.max() + 1
    parts = [np.bincount(question, which, count) for which in (taken, taken & right, right)]
    draws = rng.integers(0, count, (2000, count))
    kept, good, all_right = (part[draws].sum(axis=1) for part in parts)
    precision, recall = (
        np.quantile(good / kept, [0.025, 0.975]),
        np.quantile(good / all_right, [0.025, 0.975]),
    )
    fooled = np.bincount(question, taken & ~right, count) > 0
    wrong = np.bincount(question, ~right, count) > 0
    return {
        "taken": int(taken.sum()),
        "precision": [float((taken & right).sum() / taken.sum()), *precision.tolist()],
        "recall": [float((taken & right).sum() / right.sum()), *recall.tolist()],
        "false_accept": float((taken & ~right).sum() / (~right).sum()),
        "upper": bounds(int(fooled.sum()), int(wrong.sum()))[1],
        "questions": [int(fooled.sum()), int(wrong.sum())],
    }


# ------------------------------------------------------------------ labels


def labelled(path: str, count: int) -> list[dict[str, str]]:
    column = next(name for name in ("label", "intent", "hate") if name in rows(path)[0])
    rng, found = np.random.default_rng(SEED), [one for one in rows(path) if one[column] is not None]
    at = rng.permutation(len(found))[:count].tolist()
    return [{"text": found[i]["text"], "label": str(found[i][column])} for i in at]


def labels(quick: bool) -> dict[str, Any]:
    """Machine's rows are people's with labels that err as a weak model of 300 other rows errs."""
    found = {}
    sets = {"nsmc_ko": 8300, "banking77": 6300, "hate_ko": 6300}
    paths = {"nsmc_ko": "nsmc_ko/train.jsonl.gz", "banking77": "banking77/train.jsonl.gz"}
    paths["hate_ko"] = "hate_ko/labeled.jsonl.gz"
    for name, count in sets.items():
        made = labelled(paths[name], count)
        seedlings, people, machine = made[:300], made[300:4300], made[4300:]
        if quick:
            people, machine = people[:600], machine[:300]
        read = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), min_df=1)
        weak = LogisticRegression(C=4.0, max_iter=300)
        weak.fit(read.fit_transform([o["text"] for o in seedlings]), [o["label"] for o in seedlings])
        sure = weak.predict_proba(read.transform([o["text"] for o in machine]))
        said = weak.classes_[sure.argmax(axis=1)]
        true = np.array([o["label"] for o in machine])
        rows_made = [{"text": o["text"], "label": str(s)} for o, s in zip(machine, said, strict=True)]
        world = dataset_of(records_of(people), records_of(rows_made, maker="machine", origin=1))
        turn = turn_of(Task(input="text", target="label"), seed=SEED)
        found[name] = {
            "people": len(people),
            "machine": len(machine),
            "generator": float((said == true).mean()),
        }
        for limit in (0.02, 0.05, 0.1):
            survey = agrees(text_linear(), limit=limit)
            started = time.process_time()
            verdicts = list(survey(world, turn))[1]
            took = time.process_time() - started
            kept = np.array([one is True for one in verdicts.column("keep").to_pylist()])
            level = verdicts.column("limit").to_pylist()[0]
            wrong = said != true
            found[name][f"limit {limit}"] = {
                "tau": level,
                "kept": int(kept.sum()),
                "right": float((said == true)[kept].mean()) if kept.any() else None,
                "let_in": [int((kept & wrong).sum()), int(wrong.sum())],
                "cpu_seconds": took,
            }
        top = np.argsort(-sure.max(axis=1))[: len(machine) // 3]
        found[name]["own confidence, top third"] = float((said == true)[top].mean())
        print(name, found[name], flush=True)
    return found


def spoken() -> dict[str, Any]:
    """What is said of a sentence given another, against what people said (klue_nli_ko)."""
    counts = Counter(
        (one["gold"], support(one["hypothesis"], one["premise"]))
        for one in rows("klue_nli_ko/annot.jsonl.gz")
    )
    table: dict[str, dict[str, int]] = defaultdict(dict)
    for (gold, said), count in sorted(counts.items()):
        table[gold][said] = count
    return dict(table)


# ------------------------------------------------------------------ other people's scorers


def gym(python: str, quick: bool) -> dict[str, Any]:
    script = str(ROOT / "benchmarks" / "verifiers_gym.py")
    names = json.loads(subprocess.run([python, script, "names"], capture_output=True, check=True).stdout)
    names = [one for one in names if one not in SLOW]
    count = 40 if quick else 160
    found: dict[str, Any] = {}
    with subprocess.Popen(
        [python, script, "score"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as peer:

        def ask(*said: Any) -> Any:
            peer.stdin.write(json.dumps(said) + "\n")
            peer.stdin.flush()
            return json.loads(peer.stdout.readline())

        for name in [*MUST_FLAG, "chain_sum"] if quick else names:
            items = ask("items", name, count, SEED, 20)
            if items is None:
                found[name] = None
                continue
            until = time.monotonic() + 300

            def verify(item: int, answer: str, name: str = name, until: float = until) -> bool | None:
                if time.monotonic() > until:
                    return None
                score = ask(name, count, SEED, item, answer)
                return score is not None and score >= 1

            golds = [(i, str(answer)) for i, (_, answer) in enumerate(items) if answer is not None]
            said = audit(verify, golds, seed=SEED)
            found[name] = summary(said, 0.0) | {"flagged": any(kind.low > 0.02 for kind in said.kinds)}
            print(name, found[name]["flagged"], found[name]["fooled"], flush=True)
        peer.stdin.close()
    return found


# ------------------------------------------------------------------ the page


def share(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.{digits}f}".replace("0.", ".", 1)


def kinds_of(one: dict[str, Any]) -> str:
    return ", ".join(f"{name} {k[0]}/{k[1]}" for name, k in one["kinds"].items() if k[0]) or "none"


def page(said: dict[str, Any]) -> str:
    lines = ["# Verifiers, measured", "", f"`{said['command']}`, {said['day']}, {said['python']}.", ""]
    lines += ["What the words mean, and what the audit does: [verification](../verification.md).", ""]
    lines += ["## Audits on people's answers", ""]
    lines += ["A right answer is *fooled* when any of its mutants is taken; *bound*: the one-sided 95 %"]
    lines += ["upper bound of that share (Clopper-Pearson). A verifier admits where it is at most .02.", ""]
    lines += ["| verifier | right answers | refused | silent | fooled | bound | taken, by kind | admits "]
    lines[-1] += "| CPU-s |"
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for name, one in said["audits"].items():
        lines.append(
            f"| {name} | {one['gold']} | {one['refused']} | {one['abstained']} | {one['fooled']} of "
            f"{one['answers']} | {share(one['upper'], 4)} | {kinds_of(one)} "
            f"| {'yes' if one['admits'] else 'no'} | {one['cpu_seconds']:.1f} |"
        )
    lines += ["", "## Solutions of four GPT-3 models (gsm8k, 2,544, truly right or wrong)", ""]
    lines += [
        "Intervals: 95 %, questions drawn again 2,000 times. *Let in*: the share of wrong solutions that"
    ]
    lines += ["is taken, and its bound by questions. A majority of one model cannot be formed: one each.", ""]
    lines += ["| rule | taken | precision | recall | let in | bound |", "|---|---|---|---|---|---|"]
    for name, one in said["solutions"].items():
        three = [f"{share(v[0])} [{share(v[1])}, {share(v[2])}]" for v in (one["precision"], one["recall"])]
        lines.append(
            f"| {name} | {one['taken']} | {three[0]} | {three[1]} | {share(one['false_accept'])} "
            f"| {share(one['upper'])} |"
        )
    lines += ["", *labels_page(said["labels"]), *spoken_page(said["spoken"]), *gym_page(said["gym"])]
    return "\n".join(lines) + "\n"


def labels_page(said: dict[str, Any]) -> list[str]:
    lines = ["## Labels: a model of people's rows against a weak generator's", ""]
    lines += ["The generator is a logistic regression on 300 other rows. *Let in*: wrong labels kept.", ""]
    lines += ["| set | people's rows | generator right | its own top third right | limit | tau | kept "]
    lines[-1] += "| of them right | let in | CPU-s |"
    lines += ["|---|---|---|---|---|---|---|---|---|---|"]
    for name, one in said.items():
        for limit in ("0.02", "0.05", "0.1"):
            at = one[f"limit {limit}"]
            tau = share(at["tau"])
            lines.append(
                f"| {name} | {one['people']} | {share(one['generator'])} "
                f"| {share(one['own confidence, top third'])} | {share(float(limit), 2)} | {tau} "
                f"| {at['kept']} of {one['machine']} | {share(at['right'])} "
                f"| {at['let_in'][0]} of {at['let_in'][1]} | {at['cpu_seconds']:.1f} |"
            )
    return [*lines, ""]


def spoken_page(said: dict[str, Any]) -> list[str]:
    lines = ["## What is said of a claim, against people (klue_nli_ko, 1,986 pairs)", ""]
    names = ("supported", "unclear", "contradicted", "unsupported")
    lines += ["| people say | " + " | ".join(names) + " |", "|---|---|---|---|---|"]
    lines += [
        f"| {gold} | " + " | ".join(str(one.get(n, 0)) for n in names) + " |" for gold, one in said.items()
    ]
    return [*lines, ""]


def gym_page(said: dict[str, Any]) -> list[str]:
    judged = {name: one for name, one in said.items() if one}
    flagged = {name: one for name, one in judged.items() if one["flagged"]}
    sound = sum(one["admits"] for one in judged.values())
    lines = ["## Scorers of reasoning-gym 0.1.25", ""]
    lines += [
        f"{len(judged)} scorers, up to 160 items of each, one mutant of each kind. {sound} would admit;"
    ]
    lines += [f"{len(flagged)} are shown to take some kind of mistake more often than 2 % (one-sided 95 %);"]
    lines += [
        "some of those mutants may be right too: this audit cannot know, and says which to look at.",
        "",
    ]
    lines += ["| scorer | fooled | taken, by kind |", "|---|---|---|"]
    order = sorted(flagged, key=lambda name: (name not in MUST_FLAG, -flagged[name]["fooled"], name))
    for name in order:
        one = flagged[name]
        lines.append(f"| {name} | {one['fooled']} of {one['answers']} | {kinds_of(one)} |")
    left = sorted(name for name, one in said.items() if not one)
    lines += ["", f"Not made within 20 CPU-s: {', '.join(left) or 'none'}."]
    lines += [f"Left out as slow: {', '.join(sorted(SLOW))}."]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gym")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    before = OUT / "verifiers.json"
    old = json.loads(before.read_text("utf-8")) if before.is_file() else {}
    said = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/verifiers.py --gym PYTHON",
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": f"Python {platform.python_version()}, numpy {np.__version__}",
        "kinds": list(TEXT_KINDS),
        "solutions": solutions(),
        "spoken": spoken(),
        "audits": audits(given.quick),
        "labels": labels(given.quick),
        "gym": gym(given.gym, given.quick) if given.gym else old.get("gym", {}),
    }
    text = page(said)
    if given.quick:
        print(text)
        return
    before.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (OUT / "verifiers.md").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
