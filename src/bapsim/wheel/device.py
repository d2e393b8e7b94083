"""A shipped folder as a respondent: its own runtime answers, in a process of its own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from bapsim.core.errors import StoreError
from bapsim.core.records import Answer, Answers, Rows
from bapsim.gather.types import arrow_type
from bapsim.ship.pack import RUNTIME
from bapsim.ship.tables import is_whole
from bapsim.text.targets import joined
from bapsim.train.columns import floats, text_of
from bapsim.train.linear import read

SAMPLES = 450  # inputs that a measurement goes through


@dataclass(frozen=True, kw_only=True)
class Device:
    """Answers of the files in a folder, as a device gives them."""

    folder: Path
    inputs: tuple[str, ...]
    answer: Answer
    classes: tuple[str, ...] = ()
    kind: str = "text"

    def __call__(self, rows: Rows, /) -> Answers:
        said = self._asked(rows)
        told = [joined(one["prediction"]) if self.answer == "labels" else one["prediction"] for one in said]
        kind = pa.float64() if self.answer == "number" else pa.string()
        columns: dict[str, Any] = {"prediction": pa.array(told, kind)}
        for name in ("low", "high") if self.answer == "number" else ():
            columns[name] = pa.array([one[name] for one in said], pa.float64())
        for name in ("confidence", "in_scope"):
            columns[name] = pa.array([one[name] for one in said], pa.float32())
        return Answers(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)))

    def _asked(self, rows: Rows, *flags: str) -> list[dict[str, Any]]:
        """The lines that the runtime prints for rows."""
        if self.kind == "table":
            about = json.loads((self.folder / "spec.json").read_text("utf-8"))
            return self.run(said_rows(rows, about["columns"]), *flags)
        if self.kind != "image":
            return self.run([text or "" for text in read(rows, self.inputs)], *flags)
        with tempfile.TemporaryDirectory() as room:
            return self.run(_files(rows.column(self.inputs[0]).to_pylist(), Path(room)), *flags)

    def run(self, inputs: Sequence[Any], *flags: str) -> list[dict[str, Any]]:
        """The lines that the runtime prints; StoreError with its last words where it fails."""
        asked = "".join(json.dumps(one) + "\n" for one in inputs)
        command = [sys.executable, "-I", "-B", str(self.folder / RUNTIME), "--json", *flags, str(self.folder)]
        done = subprocess.run(command, input=asked.encode(), capture_output=True, check=False)  # noqa: S603
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise StoreError("runtime_failed", folder=str(self.folder), why="".join(last))
        said = [json.loads(line) for line in done.stdout.decode().splitlines()]
        unread = next((one["error"] for one in said if "error" in one), None)
        if unread is not None:
            raise StoreError("runtime_failed", folder=str(self.folder), why=unread)
        return said

    def measured(self, rows: Rows) -> dict[str, float]:
        """Latency and peak memory on this machine, over at most 450 of these inputs."""
        said = self._asked(Rows(rows.slice(0, SAMPLES)), "--measure")[-1]
        return {name: round(value, 4) for name, value in said.items()}


def said_rows(rows: Rows, columns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table as a device gets them, times as text; columns: as spec.json has them."""
    said = []
    for column in columns:
        values = rows.column(column["name"])
        if column["kind"] == "category":
            said.append(text_of(values).to_pylist())
        elif pa.types.is_temporal(values.type):
            # in the unit of training: another file's may be finer
            said.append(values.cast(arrow_type(column["type"]), safe=False).cast(pa.string()).to_pylist())
        elif pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
            said.append(values.to_pylist())
        else:
            cells = [None if math.isnan(x) else x for x in floats(values, column["name"]).tolist()]
            # whole numbers stand among fractions where a later file brought some
            said.append(
                [int(x) if x is not None and x.is_integer() else x for x in cells]
                if is_whole(column)
                else cells
            )
    names = [column["name"] for column in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*said, strict=True)]


def _files(bodies: Sequence[bytes | None], room: Path) -> list[str]:
    """The names of pictures that were written into a folder."""
    names: list[str] = []
    for i, body in enumerate(bodies):
        (room / f"{i}").write_bytes(body or b"")
        names.append(str(room / f"{i}"))
    return names
