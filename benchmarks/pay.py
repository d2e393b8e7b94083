"""Pay against what people's data truly gave: experts, a lazy one, a liar and a minority through real turns.

    OMP_NUM_THREADS=1 python benchmarks/pay.py

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/pay.{json,md}; `--page` writes the page again.
A project of banking77 (the 40 most frequent classes) or nsmc_ko: 1,500 rows of history (1,100 in the exam),
then two turns in which seven people answer 600 questions each time, an eighth of them three at once, with 12
hidden tests each. On banking77 the history calls most rows of two classes by another one's name, and so do
all but two of the people. The truth is the Shapley value of every person's answers (all subsets), taken or
not, in accuracy and in log-loss on 1,500 rows that nobody saw, with true labels. Intervals are over seeds.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import itertools
import json
import math
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.compose.asking import worth_asking
from bapsim.compose.plan import exam
from bapsim.core.recipe import Recipe
from bapsim.core.records import Task, rows_of
from bapsim.gather.files import files
from bapsim.gather.people import people
from bapsim.judge.exam import accuracy, heard, losses, per_item
from bapsim.judge.gate import paired
from bapsim.judge.pay import pay
from bapsim.store.entries import OWED
from bapsim.store.project import Project, opened
from bapsim.store.terms import SCOPES, Terms, write_terms
from bapsim.testing import mixture_of
from bapsim.train.text import text_linear
from bapsim.wheel.pay import settle
from bapsim.wheel.pay_reasons import fates
from bapsim.wheel.stock import load_stock
from bapsim.wheel.turn import run_turn

HERE = Path(__file__).parent
OUT = HERE.parent / "docs" / "results"
HISTORY, EXAM, UNSEEN, ASKED, GOLD = 1500, 1100, 1500, 600, 12
TASK = Task(input="text", target="label")
RULE = pay(hour="30,000 KRW", bonus="300 KRW", share=0.1, worth="1,000,000 KRW")
SETS = {"banking77": ("intent", 40), "nsmc_ko": ("label", 2)}


@dataclass(frozen=True, kw_only=True)
class Person:
    """How somebody answers: how often right, how sure they say they are, how long they take, and what they
    believe: the crowd's mistake or the truth; copies: takes what the model says; load: of the questions.
    """

    name: str
    right: float
    sure: float
    seconds: float
    load: float = 1.0
    believes: bool = True
    copies: bool = False


CROWD = (
    Person(name="slow expert", right=0.98, sure=0.98, seconds=25, load=0.5, believes=False),
    Person(name="good", right=0.93, sure=0.93, seconds=9),
    Person(name="good too", right=0.93, sure=0.93, seconds=9),
    Person(name="average", right=0.82, sure=0.82, seconds=8),
    Person(name="lazy", right=0.0, sure=0.95, seconds=1.5, copies=True),
    Person(name="liar", right=0.0, sure=1.0, seconds=3),
    Person(name="minority", right=0.95, sure=0.95, seconds=9, believes=False),
)


def rows_of_set(data: Path, name: str) -> list[tuple[str, str]]:
    """Texts, each once, with their true labels."""
    target, most = SETS[name]
    with gzip.open(data / name / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    told = {str(row["text"]): str(row[target]) for row in rows if str(row["text"] or "").strip()}
    kept = {label for label, _ in Counter(told.values()).most_common(most)}
    return [(text, label) for text, label in told.items() if label in kept]


class World:
    """One seed of one set: a project, its people, and rows that nobody sees."""

    def __init__(self, data: Path, name: str, seed: int, root: Path) -> None:
        self.rng, rows = np.random.default_rng([seed, 7]), rows_of_set(data, name)
        order = self.rng.permutation(len(rows))[: HISTORY + UNSEEN + 3000]
        rows = [rows[i] for i in order]
        self.labels = sorted({label for _, label in rows})
        self.truth = dict(rows)
        self.unseen, rest = rows[:UNSEEN], rows[UNSEEN:]
        drawn = self.rng.permutation(self.labels).tolist()
        self.mistake = dict(zip(drawn[:4:2], drawn[1:4:2], strict=True)) if len(self.labels) > 4 else {}
        self.root, self.given = root, {one.name: [] for one in CROWD}
        lines = [self._told(text, label, n < HISTORY) for n, (text, label) in enumerate(rest)]
        (root / "inbox" / "people").mkdir(parents=True)
        for one in CROWD:
            known = {"consent": consent(one), "person": pseudonym(one), "given": "2026-11-01T00:00:00+00:00"}
            terms = Terms(**known, scope=frozenset(SCOPES), licence="LicenseRef-expert")
            write_terms(root / "inbox", terms)
        (root / "inbox" / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
        (root / "recipe.py").write_text("# the recipe of this benchmark is a value\n")
        self.recipe = Recipe(
            task=TASK,
            sources={"history": files("rows.jsonl", rights="own"), "people": people()},
            train=text_linear(),
            judge=per_item(),
            metric=accuracy,
            gate=paired(),
            exam=exam(EXAM),
            questions=worth_asking(ASKED, exam_share=0.1),
            folds=4,
            seed=seed,
            pay=RULE,
        )

    def _told(self, text: str, label: str, known: bool) -> dict[str, str | None]:
        said = self.mistake.get(label, label) if self.rng.random() < 0.7 else label
        return {"text": text, "label": said if known else None}

    def says(self, one: Person, text: str, model: str | None) -> str:
        label = self.truth[text]
        if one.copies and model is not None:
            return model
        if self.rng.random() < (one.right or 0.0):
            return self.mistake.get(label, label) if one.believes else label
        return str(self.rng.choice([other for other in self.labels if other != label]))

    def answers(self, project: Project, turn: int) -> None:
        """Everybody answers their part of the open questions, and hidden tests among them."""
        stock = load_stock(project, TASK)
        query = "select id, suggested from question where state='open' order by id"
        asked = [(stock.place[row["id"]], row["suggested"]) for row in project.ledger.rows(query)]
        weights = np.array([one.load for one in CROWD]) / sum(one.load for one in CROWD)
        known = [
            r
            for r in range(len(stock))
            if stock.labelled[r] and self.truth[stock.texts[r]] == stock.labels[r]
        ]
        lines: dict[str, list[dict[str, Any]]] = {one.name: [] for one in CROWD}
        for row, model in asked:
            count = 3 if self.rng.random() < 0.125 else 1
            for k in self.rng.choice(len(CROWD), count, replace=False, p=weights):
                one, text = CROWD[k], stock.texts[row]
                said = self.says(one, text, model)
                lines[one.name].append({"row": row, "said": said, "blind": None})
                self.given[one.name].append((text, said))
        for one in CROWD:
            for row in self.rng.choice(known, GOLD, replace=False).tolist():
                said = self.says(one, stock.texts[row], str(stock.labels[row]))  # the model is sure of tests
                lines[one.name].append({"row": row, "said": said, "blind": "gold"})
            self._write(one, lines[one.name], turn, stock)

    def _write(self, one: Person, lines: list[dict[str, Any]], turn: int, stock: Any) -> None:
        start = datetime.datetime(2026, 11, turn, 9, tzinfo=datetime.UTC)
        with (self.root / "inbox" / "people" / f"{consent(one)}.jsonl").open("a", encoding="utf-8") as file:
            for n, said in enumerate(lines):
                at = (start + datetime.timedelta(seconds=one.seconds * (n + 1))).isoformat()
                line = {
                    "id": f"{turn}-{n}",
                    "kind": "vote",
                    "person": pseudonym(one),
                    "at": at,
                    "approved": at,
                }
                line |= {"seconds": one.seconds, "question": stock.ids[said["row"]].tobytes().hex()}
                line |= {
                    "said": said["said"],
                    "cannot_tell": False,
                    "confidence": one.sure,
                    "blind": said["blind"],
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def run(self) -> dict[str, Any]:
        """Two turns with people; what everybody earned, was told, and gave."""
        with opened(self.root) as project:
            verdicts = [run_turn(project, self.recipe)["verdict"]]
            for turn in (2, 3):
                self.answers(project, turn)
                verdicts.append(run_turn(project, self.recipe)["verdict"])
                settle(project, self.recipe)
            return {"verdicts": verdicts, "people": self._earned(project), "shares": self._shares(project)}

    def _earned(self, project: Project) -> dict[str, dict[str, float]]:
        query = "select what, sum(minor) minor from entry where account=? and person=? group by what"
        found, became = {}, Counter((f.person, f.became) for f in fates(project, self.recipe))
        for one in CROWD:
            sums = {r["what"]: r["minor"] for r in project.ledger.rows(query, OWED, pseudonym(one))}
            lines = len(self.given[one.name])
            hours = (lines + 2 * GOLD) * one.seconds / 3600
            found[one.name] = {name: float(sums.get(name, 0)) for name in ("time", "bonus", "share")}
            found[one.name] |= {"answers": lines, "hours": hours, "taken": became[pseudonym(one), "taken"]}
        return found

    def _shares(self, project: Project) -> list[dict[str, Any]]:
        """What was measured of each accepted turn that had people in it."""
        rows = project.ledger.rows("select output from stage where name='share' order by rowid")
        said = [json.loads(row["output"]) for row in rows]
        names = {pseudonym(one): one.name for one in CROWD}
        return [
            {
                "points": one["points"],
                "players": {names[p["person"]]: p for p in one["players"] if p["person"]},
            }
            for one in said
            if any(player["person"] for player in one["players"])
        ]

    def true(self) -> dict[str, dict[str, float]]:
        """The Shapley value of everybody's answers, in points of accuracy and in log-loss."""
        names = [one.name for one in CROWD]
        history = [json.loads(line) for line in (self.root / "inbox" / "rows.jsonl").read_text().splitlines()]
        base = [(row["text"], row["label"]) for row in history if row["label"] is not None]
        value = {}
        for count in range(len(names) + 1):
            for some in itertools.combinations(names, count):
                value[frozenset(some)] = self._value(
                    base + [row for name in some for row in self.given[name]]
                )
        found: dict[str, dict[str, float]] = {}
        for name in names:
            others = [other for other in names if other != name]
            sums = np.zeros(2)
            for count in range(len(names)):
                weight = 1 / (len(names) * math.comb(len(others), count))
                for some in itertools.combinations(others, count):
                    sums += weight * (value[frozenset((*some, name))] - value[frozenset(some)])
            found[name] = {"points": float(100 * sums[0]), "nats": float(sums[1])}
        return found

    def _value(self, rows: list[tuple[str, str]]) -> np.ndarray:
        texts = mixture_of([{"text": text, "label": label} for text, label in rows], TASK)
        folds = (np.arange(len(rows)) % 4).astype(np.int8)
        model = text_linear().crossfit(None, texts, folds, 0).model
        asked = mixture_of([{"text": text, "label": label} for text, label in self.unseen], TASK)
        said = heard(model(rows_of(asked.records, ["text"])), model.classes, "class")
        gold = [label for _, label in self.unseen]
        right = np.mean([a == b for a, b in zip(gold, said.prediction, strict=True)])
        assert said.probs is not None
        return np.array([right, -losses(said.probs, said.classes, gold).mean()])


def pseudonym(one: Person) -> str:
    return "p-" + one.name.replace(" ", "-")


def consent(one: Person) -> str:
    return "c-" + one.name.replace(" ", "-")


# ------------------------------------------------------------------ figures


def ranks(values: list[float]) -> np.ndarray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values))


def correlation(first: list[float], second: list[float]) -> float:
    """Spearman's; 0 where one side says nothing."""
    a, b = ranks(first), ranks(second)
    return 0.0 if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % of it, over seeds."""
    drawn = np.random.default_rng(0).integers(len(values), size=(4000, len(values)))
    low, high = np.quantile(np.array(values)[drawn].mean(1), [0.025, 0.975])
    return float(np.mean(values)), float(low), float(high)


def told(values: list[float], digits: int = 2, scale: float = 1.0) -> str:
    mean, low, high = (scale * value for value in interval(values))
    return f"{mean:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def by_method(run: dict[str, Any], true: list[float]) -> dict[str, float]:
    """Rank correlation with the truth of what was paid, and of simpler ways to divide the same pots."""
    names = [one.name for one in CROWD]
    ways: dict[str, list[float]] = {
        "as paid": [],
        "rows that were taken": [],
        "measured alone": [],
        "time": [],
    }
    for name in names:
        mine = [(one["points"], one["players"][name]) for one in run["shares"] if name in one["players"]]
        ways["as paid"].append(run["people"][name]["share"])
        ways["rows that were taken"].append(sum(points * p["rows"] for points, p in mine))
        ways["measured alone"].append(sum(points * max(p["gain"] or 0, 0) for points, p in mine))
        ways["time"].append(run["people"][name]["time"])
    ways["all that was earned"] = [
        sum(run["people"][n][k] for k in ("time", "bonus", "share")) for n in names
    ]
    return {way: correlation(values, true) for way, values in ways.items()}


def page(found: dict[str, Any]) -> str:
    lines = ["# Pay against what people truly gave", ""]
    seeds = max(len(runs) for runs in found["sets"].values())
    lines += [
        f"Made by `OMP_NUM_THREADS=1 python benchmarks/pay.py` (seeds 0 to {seeds - 1}, "
        f"{found['seconds']:.0f} CPU-s, {found['day']}; `--page` writes this page again). What is simulated "
        "stands at the top of that file. "
        "These are simulated people on real texts: their skill is drawn, not observed.",
        "",
        "Rank correlation (Spearman) of the sums with the true contribution, mean over seeds in which a turn "
        "with people was accepted, with 95 %; in the last column of every seed, accepted or not:",
        "",
        "| set | seeds | " + " | ".join((*WAYS, "all that was earned, every seed")) + " |",
        "|---|---|" + "---|" * (len(WAYS) + 1),
    ]
    for name, runs in found["sets"].items():
        paid = [run for run in runs if run["shares"]]
        cells = [*(_ranked(paid, way) for way in WAYS), _ranked(runs, "all that was earned")]
        lines.append(f"| {name} | {len(paid)} of {len(runs)} | " + " | ".join(cells) + " |")
    for name, runs in found["sets"].items():
        lines += ["", f"## {name}", "", *_people(runs)]
    return "\n".join([*lines, "", *lessons(found), ""])


def _ranked(runs: list[dict[str, Any]], way: str) -> str:
    """How one way ranks people beside the truth in points and in log-loss; a dash where nothing was paid."""
    both = [np.mean([by_method(run, truth(run, unit))[way] for unit in UNITS]) for run in runs]
    return told([float(one) for one in both]) if both else "–"


UNITS = ("points", "nats")
WAYS = ("as paid", "all that was earned", "rows that were taken", "measured alone", "time")


def truth(run: dict[str, Any], unit: str) -> list[float]:
    return [run["true"][one.name][unit] for one in CROWD]


def _people(runs: list[dict[str, Any]]) -> list[str]:
    """Everybody's row: of every seed, and where a share was paid, of those seeds."""
    paid = [run for run in runs if run["shares"]]
    lines = [
        "| person | answers | taken | true points | true part | part paid | inside its interval | "
        "time | tests | share | earned an hour |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in CROWD:
        mine = [run["people"][one.name] for run in runs]
        true = [run["true"][one.name]["points"] for run in runs]
        hourly = [sum(m[k] for k in ("time", "bonus", "share")) / m["hours"] for m in mine]
        lines.append(
            f"| {one.name} | {np.mean([m['answers'] for m in mine]):.0f} "
            f"| {100 * np.mean([m['taken'] / max(m['answers'], 1) for m in mine]):.0f} % "
            f"| {told(true)} {_parts(paid, one.name)} "
            + "".join(f"| {np.mean([m[k] for m in mine]):,.0f} " for k in ("time", "bonus", "share"))
            + f"| {np.mean(hourly):,.0f} |"
        )
    return lines


def _parts(paid: list[dict[str, Any]], name: str) -> str:
    """The true part of the gain, the part of the pots that was paid, and how often the interval held it."""
    if not paid:
        return "| – | – | –"
    true = [max(run["true"][name]["points"], 0) / _positive(run) for run in paid]
    pots = [sum(one["share"] for one in run["people"].values()) for run in paid]
    got = [run["people"][name]["share"] / pot if pot else 0.0 for run, pot in zip(paid, pots, strict=True)]
    return f"| {100 * np.mean(true):.0f} % | {100 * np.mean(got):.0f} % | {_inside(paid, name)}"


def _positive(run: dict[str, Any]) -> float:
    return sum(max(value["points"], 0) for value in run["true"].values()) or 1.0


def _inside(runs: list[dict[str, Any]], name: str) -> str:
    """In how many accepted turns the true part (of those whose rows were taken) lies in the told interval."""
    inside = []
    for run in runs:
        for one in run["shares"]:
            whole = sum(max(run["true"][n]["points"], 0) for n in one["players"])
            if name in one["players"] and whole:
                player, part = one["players"][name], max(run["true"][name]["points"], 0) / whole
                inside.append(player["low"] <= part <= player["high"])
    return f"{sum(inside)} of {len(inside)}" if inside else "–"


def lessons(found: dict[str, Any]) -> list[str]:
    """What the tables say, with the figures that they hold."""
    held, every = 0, 0
    for runs in found["sets"].values():
        for one in CROWD:
            cell = _inside([run for run in runs if run["shares"]], one.name)
            held, every = (
                (held + int(cell.split()[0]), every + int(cell.split()[2])) if cell != "–" else (held, every)
            )
    return [
        "## What it says",
        "",
        "- Whoever harms earns next to nothing of a gain: of the liar nearly no line is taken; the part "
        "of who copies the model is a fraction of their part of the lines. Their time is paid, as it must "
        "be; being quick, they reach a good hourly rate with little work.",
        "- To divide by rows that were taken ranks people worse than what is paid does, where turns were "
        "accepted often enough to tell. To divide by time ranks them as well here, and only because the "
        "harmful ones are also the quick ones in this simulation.",
        "- **A minority that is right against a mistake in the data is paid, but too little**: its part is "
        "measured on rows of others, which hold the mistake; only hidden tests speak for it.",
        f"- **The intervals are too narrow against this truth**: {held} of {every} hold it, not 95 of 100. "
        "The truth is of all answers of both turns on rows that nobody saw, and has an error of its own; the "
        "interval is of one turn's rows, and knows nothing of a mistake that the measuring rows share. Take "
        "it as the error of the measurement, not as what a person is worth.",
        "- Where a turn is not accepted nobody gets a share: a gain that the exam cannot tell from chance "
        "has no pot. Time and tests alone still order people.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    if not options.page:
        data = Path(os.environ.get("BAPSIM_DATA", HERE.parent.parent / "shared" / "data"))
        start, sets = time.process_time(), {}
        for name in options.sets.split(","):
            sets[name] = [_one(data, name, seed) for seed in range(options.seeds)]
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        body = {"sets": sets, "seconds": time.process_time() - start, "day": day}
        (OUT / "pay.json").write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
    found = json.loads((OUT / "pay.json").read_text())
    (OUT / "pay.md").write_text(page(found))


def _one(data: Path, name: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as root:
        world = World(data, name, seed, Path(root))
        run = world.run()
        return run | {"true": world.true()}


if __name__ == "__main__":
    main()
