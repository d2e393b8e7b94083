"""What a turn shows of the data, as sections of its page: weak slices, doubted labels, questions, hands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from bapsim.core.arrow import ID, id_bytes, strings
from bapsim.core.errors import messages, text
from bapsim.report.words import number, percent, slice_name
from bapsim.store.lake import View, by_folder
from bapsim.store.project import Project

LONGEST = 220  # characters of an example


def named_ids(said: Any) -> Iterator[str]:
    """Every record that a finding names: `id` and `ids`, wherever they stand."""
    if isinstance(said, Mapping):
        for key, value in said.items():
            if key == "ids":
                yield from value
            elif key == "id":
                yield str(value)
            else:
                yield from named_ids(value)
    elif isinstance(said, list):
        for one in said:
            yield from named_ids(one)


def examples(project: Project, task: Mapping[str, Any], ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """The input as one line and the label of each record that is still there, by hexadecimal id."""
    found: dict[str, dict[str, str]] = {}
    wanted = pa.array([bytes.fromhex(one) for one in dict.fromkeys(ids)], ID)
    shards = project.shards()
    for folder, mine in by_folder(shards).items() if len(wanted) else ():
        records = View(name=folder, root=project.wheel, shards=tuple(shards[i] for i in mine)).find(wanted)
        names = records.schema.names
        columns = [strings(records.column(n)) for n in task["inputs"] if n in names]
        labels = strings(records.column(task["target"])) if task["target"] in names else [None] * len(records)
        keys = [one.tobytes().hex() for one in id_bytes(records.column("_id"))]
        for key, label, *cells in zip(keys, labels, *columns, strict=True):
            said = " ".join(" | ".join(cell or "" for cell in cells).split())
            said = said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
            found[key] = {"text": said, "label": label or ""}
    return found


def weak(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """Slices with what was missed in them."""
    for one in report["notice"]["slices"]:
        shares = {name: percent(one[name]) for name in ("wrong", "elsewhere")}
        say = text("insight.weak.say", lang, name=slice_name(one, lang), rows=number(one["rows"]), **shares)
        yield {"words": say, "rows": [shown[i] for i in one["ids"] if i in shown]}


def asked(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """The next questions by reason; those at random are for the exam and are not shown."""
    for why, one in report["asked"].items():
        key = f"insight.why.{why}"
        count = number(one["count"])
        words = text(key, lang, count=count) if key in messages() else f"{why}: {count}"
        rows = [] if why == "random" else [shown[i] for i in one["ids"] if i in shown]
        yield {"words": words, "rows": [{"text": row["text"], "label": row["label"]} for row in rows]}


def repaired(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """Labels that were changed in this turn."""
    said = report["notice"]["repaired"]
    if said["asked"]:
        counts = {name: number(said[name]) for name in ("asked", "changed", "now")}
        rows = [
            {"text": shown[one["id"]]["text"], "label": text("insight.changed", lang, **pair(one))}
            for one in said["some"]
            if one["id"] in shown
        ]
        yield {"words": text("insight.repaired", lang, **counts), "rows": rows}


def pair(one: Mapping[str, Any]) -> dict[str, str]:
    return {"old": one["old"], "new": one["new"]}


def made(report: Mapping[str, Any], lang: str) -> Iterator[tuple[str, str, float]]:
    """Rows that are trained on, by hands of machines, rights and letters: words, count, share."""
    said = report["notice"]["made"]
    total = sum(said["depth"].values()) or 1
    for depth, rows in said["depth"].items():
        key = depth if depth in ("0", "unknown") else "more"
        yield text(f"insight.depth.{key}", lang, depth=depth), number(rows), rows / total
    for name, rows in said["rights"].items():
        yield text("insight.rights", lang, name=name), number(rows), rows / total
    scripts = report["notice"]["scripts"]
    letters = sum(scripts.values())
    for name, count in scripts.items() if letters else ():
        share = count / letters
        if share >= 0.001:
            words = text(
                "insight.scripts", lang, shares=text(f"audit.script.{name}", lang, percent=percent(share))
            )
            yield words, "", share
