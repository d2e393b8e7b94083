"""The files of a shipped model: head, features, runtime, test vectors, a page; the same bytes each time.

The card is written by `edge_card`; what was measured on one machine lies in measured.json, which may differ.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from bapsim.core.errors import InputError
from bapsim.ship import runtime
from bapsim.ship.graph import text_head
from bapsim.ship.parts import TextParts

Target = Literal["onnx", "onnx-int8", "student", "folder"]
TARGETS: tuple[Target, ...] = ("onnx", "onnx-int8", "student", "folder")
DEVICE = Path(__file__).with_name("device")
RUNTIME = "bapsim_runtime.py"
WEB = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")  # of onnxruntime-web
# Text, how often: every copy of a model must answer these alike, whatever it is written in.
ODD: tuple[tuple[str, int], ...] = (
    ("", 1),
    (" \t\r\n", 1),
    ("Where is my card?", 1),
    ("카드가 아직 안 왔어요 ㅠㅠ ㅋㅋㅋㅋ", 1),
    ("ᄏᄏ ㅠ ㅏㅏ ㄱ", 1),
    ("\u1112\u1161\u11ab\u1100\u1173\u11af \u110f\u110f e\u0301te\u0301 A\u030a\u0323", 1),
    ("ＦＵＬＬ　ｗｉｄｔｈ　１２３ ﬁne ½ ﷺ", 1),
    ("İstanbul I\u0307 ıI ΟΔΟΣ Straße", 1),
    ("👍🏽 👨\u200d👩\u200d👧 ❤\ufe0f 🇰🇷", 1),
    ("line one\nline two\r\n\0nul\x1f", 1),
    ("\ud800 lone \udfff x", 1),
    ("no ", 100),
    ("a", 3000),
    ("카드 card 분실 lost! ", 62_500),
)


def text_files(parts: TextParts, target: Target) -> dict[str, bytes]:
    """The files of a model of texts by name, without vectors and card."""
    files = {
        "spec.json": as_json(parts.about()),
        "features.bin": parts.features(),
        RUNTIME: Path(runtime.__file__).read_bytes(),
        "features.c": (DEVICE / "features.c").read_bytes(),
        "features.js": (DEVICE / "features.js").read_bytes(),
    }
    if target == "folder":
        return files | {"head.bin": parts.head()}
    page = (DEVICE / "index.html").read_bytes()
    return files | {"head.onnx": text_head(parts), "browser/index.html": page}


def as_json(said: Any) -> bytes:
    """A JSON file in ASCII, so that lone surrogates survive, with names in order."""
    return (json.dumps(said, ensure_ascii=True, indent=1, sort_keys=True) + "\n").encode()


def write(folder: Path, files: dict[str, bytes], vectors_of: Callable[[Path], bytes] | None = None) -> None:
    """Put files into a new folder, and the vectors that they answer beside them."""
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)
    told = as_json(vectors(folder)) if vectors_of is None else vectors_of(folder)
    (folder / "vectors.json").write_bytes(told)


def vectors(folder: Path) -> list[dict[str, Any]]:
    """For each odd text the columns and values of its features, and the answer of this very folder."""
    model = runtime.Model(folder)
    found = []
    for text, times in ODD:
        columns, values, coverage = model.features([text * times])
        told = model([text * times])[0]
        one: dict[str, Any] = {"text": text, "times": times, "coverage": float(coverage[0]), "answer": told}
        used = int((values[0] != 0).sum())
        found.append(one | {"columns": columns[0, :used].tolist(), "values": values[0, :used].tolist()})
    return found


def with_browser(folder: Path, dist: Path) -> None:
    """Copy onnxruntime-web beside the example page, from the `dist` folder of its npm package."""
    missing = [name for name in WEB if not (dist / name).is_file()]
    if missing:
        raise InputError("browser_files", path=str(dist), missing=", ".join(missing))
    for name in WEB:
        shutil.copyfile(dist / name, folder / "browser" / name)
