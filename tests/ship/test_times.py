"""Times on a device: written as ISO 8601 there, read as the reader of files reads them, in seconds."""

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Rows, Task
from bapsim.gather.types import arrow_type, cast
from bapsim.ship import runtime, table_cells
from bapsim.ship.tables import odd_rows
from bapsim.train.columns import floats
from bapsim.train.table import table_boosted
from bapsim.wheel.device import said_rows
from tests.ship.tabular import put

UNITS = ("s", "ms", "us", "ns")
KINDS = (*(f"timestamp[{u}]" for u in UNITS), *(f"timestamp[{u}, tz=UTC]" for u in UNITS), "date32[day]")
KINDS += ("date64[ms]", "time32[s]", "time32[ms]", "time64[us]", "time64[ns]")
DAYS = (
    "2026-03-12",
    "2026-02-30",
    "1960-01-01",
    "0001-01-01",
    "9999-12-31",
    "2026-3-1",
    "2026/03/12",
    "20260312",
)
CLOCKS = (
    "",
    " 09",
    "T09:30",
    " 09:30:00",
    "T09:30:00.5",
    "T09:30:00.123456",
    "T09:30:00.123456789",
    "T24:00",
    "T9:30",
)
ZONES = ("", "Z", "+09:00", "+0900", "+09", "-00:30")
MOMENTS = [f"{day}{clock}{zone}" for day in DAYS for clock in CLOCKS for zone in ZONES]
SAID = [
    *MOMENTS,
    *(clock[1:] for clock in CLOCKS),
    "09:30:00+09:00",
    "25:00",
    " 2026-03-12 ",
    " 09:30",
    "nan",
    "12",
]


def seconds(said: str, kind: str) -> float | None:
    column, misfit = cast(pa.array([said]), kind)
    return None if misfit[0] else floats(column, "t").item()


def on_device(said: Any, kind: str) -> float | None:
    try:
        return table_cells.number(said, kind)
    except ValueError:
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_is_read_as_the_reader_of_files_reads_it(kind: str) -> None:
    assert {one: on_device(one, kind) for one in SAID} == {one: seconds(one, kind) for one in SAID}
    assert on_device(1_700_000_000, kind) is None, "of what unit?"
    assert np.isnan(on_device(None, kind) or 0.0)
    moment = dt.datetime(2026, 3, 12, 9, 30, tzinfo=dt.UTC if "tz" in kind else None)
    given = moment.date() if "date" in kind else moment.timetz() if kind.startswith("time[") else moment
    given = moment.time() if kind.startswith(("time32", "time64")) else given
    assert on_device(given, kind) == seconds(given.isoformat(), kind)


def table(n: int = 240) -> pa.RecordBatch:
    when = [dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=i) for i in range(n)]
    moments = pa.array(when, pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {
        "utc": moments,
        "naive": moments.cast(pa.timestamp("us")).cast(pa.timestamp("ms")),
    }
    columns |= {
        "day": moments.cast(pa.date32()),
        "clock": pa.array([w.time() for w in when], pa.time64("us")),
    }
    return pa.RecordBatch.from_pydict(columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = table()
    said = pa.array(["night" if t.hour < 9 else "day" for t in given.column("clock").to_pylist()])
    task = Task(input=tuple(given.schema.names), target="said", kind="table")
    mixture = Mixture(task=task, records=Records(given.append_column("said", said)))
    return put(table_boosted(trees=5, rounds=5)(None, mixture, 0), tmp_path_factory.mktemp("times"))


def test_a_device_gets_what_the_model_gets(folder: Path) -> None:
    device = runtime.Model(folder)
    asked = said_rows(Rows(table()), device.about["columns"])
    assert device(asked)[0]["prediction"] == "night"
    cells, _ = device.cells(asked)
    assert cells[:, 0].tolist() == floats(table().column("utc"), "utc").tolist()
    finer = table().set_column(1, "naive", table().column("naive").cast(pa.timestamp("ns")))
    assert said_rows(Rows(finer), device.about["columns"]) == asked, "another file's unit"
    (wrong,) = runtime.answers(device, [json.dumps({**asked[0], "day": 5}).encode()])
    assert "'day'" in wrong["error"]
    assert "date32[day]" in wrong["error"]


def test_javascript_reads_times_alike(folder: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node")
    columns = json.loads((folder / "spec.json").read_text())["columns"]
    usual = odd_rows(columns)[1]
    rows = [*odd_rows(columns), *({**usual, name: one} for name in usual for one in SAID[::3])]
    asked = [json.dumps(row) for row in rows]
    done = subprocess.run(
        [node, str(folder / "table_cells.js"), str(folder)],
        input="".join(line + "\n" for line in asked),
        capture_output=True,
        text=True,
        check=True,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    for row, one in zip(rows, told, strict=True):
        wanted = [on_device(row[c["name"]], c["type"]) for c in columns]
        if None in wanted:
            assert "error" in one, row
        else:
            assert np.array_equal(np.array(one["cells"], np.float64), np.array(wanted), equal_nan=True), row


def test_every_kind_is_a_type() -> None:
    assert all(pa.types.is_temporal(arrow_type(kind)) for kind in KINDS)
