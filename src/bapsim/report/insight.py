"""What a turn shows of the data, as sections of its page: weak slices, doubted labels, questions, hands."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from bapsim.core.arrow import ID, Column, id_bytes, strings
from bapsim.core.errors import messages, text
from bapsim.image.pixels import thumbnail
from bapsim.report.words import number, percent, points, slice_name
from bapsim.store.lake import View, by_folder, is_erased, only_rows
from bapsim.store.project import Project
from bapsim.text.pii import scrub
from bapsim.text.targets import written

LONGEST = 220  # characters of an example
SIDE = 96  # pixels of a small picture


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
        there = View(name=folder, root=project.wheel, shards=tuple(shards[i] for i in mine)).find(wanted)
        records = only_rows(there, ~is_erased(there))
        names = records.schema.names
        columns = [records.column(n) for n in task["inputs"] if n in names]
        target = records.column(task["target"]) if task["target"] in names else pa.nulls(len(records))
        labels = written(target, task.get("answer", "class"))
        keys = [one.tobytes().hex() for one in id_bytes(records.column("_id"))]
        said = [_seen(column) if task["kind"] == "image" else _said(column) for column in columns]
        for key, label, *cells in zip(keys, labels, *said, strict=True):
            found[key] = {"label": label or "", **joined(cells)}
    return found


def _said(column: Column) -> list[dict[str, str]]:
    """Texts with personal data masked: a page is shown around."""
    return [{"text": one or ""} for one in scrub(strings(column))[0]]


def _seen(column: Column) -> list[dict[str, str]]:
    """Small copies of pictures, as a page holds them."""
    found: list[dict[str, str]] = []
    bodies: list[bytes | None] = column.to_pylist()
    for body in bodies:
        if body is None:
            found.append({})
            continue
        media, small = thumbnail(body, SIDE)
        found.append({"picture": f"data:{media};base64,{base64.b64encode(small).decode()}"})
    return found


def joined(cells: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The input columns of one row: a text on one line, not endless, and its picture if it has one."""
    said = " ".join(" | ".join(cell.get("text", "") for cell in cells).split())
    said = said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"
    pictures = [cell["picture"] for cell in cells if "picture" in cell]
    return {"text": said, **({"picture": pictures[0]} if pictures else {})}


def weak(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """Slices with what was missed in them."""
    for one in report["notice"]["slices"]:
        shares = {name: percent(one[name]) for name in ("wrong", "elsewhere")}
        say = text("insight.weak.say", lang, name=slice_name(one, lang), rows=number(one["rows"]), **shares)
        yield {"words": say, "rows": [shown[i] for i in one["ids"] if i in shown]}


def doubted(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """How many labels look wrong, and the most doubtful of them."""
    noise = report["notice"]["noise"]
    if noise is not None:
        rates = {name: percent(noise[name]) for name in ("rate", "low", "high")}
        rows = [
            {**shown[one["id"]], "note": text("insight.suspect", lang, suggested=one["suggested"])}
            for one in noise["some"]
            if one["id"] in shown
        ]
        yield {"words": text("insight.noise", lang, **rates), "rows": rows}


def confused(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """Pairs of classes that people do not tell apart alike."""
    for one in report["notice"]["confused"]:
        names = {"first": one["first"], "second": one["second"], "rows": number(one["rows"])}
        gains = {name: points(one[name]) for name in ("gain", "low", "high")}
        key = "audit.confused.say" if one["gain"] is not None else "audit.confused.border"
        yield {
            "words": text(key, lang, **names, **gains),
            "rows": [shown[i] for i in one["ids"] if i in shown],
        }


def labels(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """What is said of labels: repaired ones, and those that look wrong."""
    yield from repaired(report, shown, lang)
    yield from doubted(report, shown, lang)


def asked(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """The next questions by reason; those at random are for the exam and are not shown."""
    for why, one in report["asked"].items():
        key = f"insight.why.{why}"
        count = number(one["count"])
        words = text(key, lang, count=count) if key in messages() else f"{why}: {count}"
        rows = [] if why == "random" else [shown[i] for i in one["ids"] if i in shown]
        yield {"words": words, "rows": rows}


def repaired(report: Mapping[str, Any], shown: Mapping[str, Any], lang: str) -> Iterator[dict[str, Any]]:
    """Labels that were changed in this turn."""
    said = report["notice"]["repaired"]
    if said["asked"]:
        counts = {name: number(said[name]) for name in ("asked", "changed", "now")}
        rows = [
            {**shown[one["id"]], "label": text("insight.changed", lang, old=one["old"], new=one["new"])}
            for one in said["some"]
            if one["id"] in shown
        ]
        yield {"words": text("insight.repaired", lang, **counts), "rows": rows}


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
