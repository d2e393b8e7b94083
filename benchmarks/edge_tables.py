"""Whether a table model can be shipped: what skl2onnx makes of its members, row by row. It cannot yet.

    python benchmarks/edge_tables.py [--data DIR]

Needs skl2onnx, which is no dependency of bapsim; without it nothing is measured, and that is said. Writes
docs/results/edge_tables.md: bytes of each member, and on what share of 2,000 test rows (as they are; a
twentieth of the cells missing; categories never seen) the file's class is the member's. The reason why `ship`
refuses tables; it ends with 1 should every member agree everywhere, for then they should be shipped.
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import pyarrow as pa

from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task
from bapsim.train.columns import encode, used
from bapsim.train.table import TableModel, table_boosted
from table_defaults import ai4i

ROOT = Path(__file__).parents[1]


def converted(member: Any, width: int) -> bytes | str:
    """The member as ONNX, or why not."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType

    try:
        options = {id(member): {"zipmap": False}}
        made = to_onnx(member, initial_types=[("x", DoubleTensorType([None, width]))], options=options)
        return bytes(made.SerializeToString())
    except Exception as error:  # noqa: BLE001  whatever a converter says of a model that it does not know
        return f"{type(error).__name__}: {' '.join(str(error).split())[:90]}"


def same(body: bytes, member: Any, x: np.ndarray) -> str:
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(body, providers=["CPUExecutionProvider"])
        said = session.run(None, {"x": x})[0]
    except Exception as error:  # noqa: BLE001  a file that loads nowhere is a result
        return f"fails: {' '.join(str(error).split())[:60]}"
    return f"{np.mean(said == member.predict(x)):.4f}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("BAPSIM_DATA", ROOT.parent / "shared/data")
    )
    args = parser.parse_args()
    if importlib.util.find_spec("skl2onnx") is None:
        print("not measured: skl2onnx is not installed")
        return 0
    rows = ai4i(args.data)
    order = np.random.default_rng(0).permutation(len(rows))
    train, test = rows.take(pa.array(order[:6000])), rows.take(pa.array(order[6000:8000]))
    names = tuple(n for n in rows.schema.names if n != "target")
    task = Task(input=names, target="target", kind="table")
    model = table_boosted()(None, Mixture(task=task, records=Records(train)), 0)
    assert isinstance(model, TableModel)
    x = encode(model.fitted.columns, test)[:, used(model.fitted.columns)]
    rng = np.random.default_rng(1)
    holes = np.where(rng.random(x.shape) < 0.05, np.nan, x)
    odd = x.copy()
    kinds = [model.fitted.columns[j].kind for j in used(model.fitted.columns)]
    odd[:, [k == "category" for k in kinds]] = 0.0
    out = [
        "# Tables on devices: what was tried",
        "",
        "`python benchmarks/edge_tables.py`: the members of `table_boosted()` on ai4i2020 (6,000 training "
        "rows, 2,000 test rows), converted by skl2onnx with inputs of 64 bits. "
        "Share of rows with the same class.",
        "",
        "| member | ONNX, kB | rows as they are | 5 % of cells missing | category never seen |",
        "|---|---|---|---|---|",
    ]
    agree = True
    for name, member in model.fitted.members.items():
        body = converted(member, x.shape[1])
        if isinstance(body, str):
            out.append(f"| {name} | none: {body} | | | |")
            agree = False
            continue
        cells = [same(body, member, some) for some in (x, holes, odd)]
        agree &= all(cell == "1.0000" for cell in cells)
        out.append(f"| {name} | {len(body) / 1000:,.0f} | " + " | ".join(cells) + " |")
    out += ["", "A table model votes with all of its members, so one that cannot be shipped stops all.", ""]
    (ROOT / "docs/results/edge_tables.md").write_text("\n".join(out))
    print("\n".join(out))
    return int(agree)


if __name__ == "__main__":
    sys.exit(main())
