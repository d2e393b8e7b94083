"""The example page in a headless Chromium: what it answers to odd strings is what the runtime answers.

One browser opens one page, which holds the pages of all kinds of models.
"""

import http.server
import json
import os
import shutil
import subprocess
import tarfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bapsim.ship import runtime
from bapsim.ship.pack import WEB, with_browser
from bapsim.ship.tables import odd_rows
from bapsim.wheel.portable_tables import table_parts
from tests.ship import tabular
from tests.ship.shipped import STRINGS, made, put, reduced

PACKAGE = "onnxruntime-web@1.27.0"
TARGETS = ("onnx", "student", "labels", "number", "table")
CHECK = """<script>
(async () => {
  const texts = await (await fetch("texts.json")).json(), said = [];
  for (const text of texts) said.push(await answer(text).catch((error) => ({ error: String(error) })));
  await fetch("said", { method: "POST", body: JSON.stringify(said) });
})();
</script></html>"""


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dist folder of onnxruntime-web: BAPSIM_ORT_WEB, or from the npm registry."""
    named = os.environ.get("BAPSIM_ORT_WEB")
    if named:
        return Path(named)
    place, npm = tmp_path_factory.mktemp("web"), shutil.which("npm")
    if npm is None:
        pytest.skip("no npm, and BAPSIM_ORT_WEB names no onnxruntime-web")
    command = [npm, "pack", PACKAGE, "--silent", "--prefer-offline"]
    done = subprocess.run(command, cwd=place, capture_output=True, check=False, timeout=60)
    found = list(place.glob("*.tgz"))
    if done.returncode or not found:
        pytest.skip("the npm registry did not deliver onnxruntime-web")
    with tarfile.open(found[0]) as archive:
        for name in WEB:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            (place / name).write_bytes(member.read())
    found[0].unlink()
    return place


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and keeps what its pages post, by the first folder of their path."""

    said: dict[str, list[Any]]
    done: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.said[self.path.split("/")[1]] = json.loads(body)
        self.send_response(204)
        self.end_headers()
        if len(self.said) == len(TARGETS):
            self.done.set()

    def log_message(self, *_: object) -> None:
        pass


def opened(place: Path, inputs: dict[str, list[Any]], chromium: str, room: Path) -> dict[str, list[Any]]:
    """What the page of each folder says of its inputs."""
    for name, some in inputs.items():
        folder = place / name / "browser"
        page = (folder / "index.html").read_text("utf-8").replace("</html>", CHECK)
        (folder / "check.html").write_text(page, "utf-8")
        (folder / "texts.json").write_text(json.dumps(some), "utf-8")
    frames = "".join(f'<iframe src="/{name}/browser/check.html"></iframe>' for name in TARGETS)
    (place / "all.html").write_text(f"<!doctype html>{frames}", "utf-8")
    kind = type("Kept", (Handler,), {"said": {}, "done": threading.Event()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(place))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/all.html"
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
        ]
        flags += ["--disable-background-networking", f"--user-data-dir={room}"]
        with subprocess.Popen(
            [chromium, *flags, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                assert kind.done.wait(60), f"only {list(kind.said)} answered"
            finally:
                process.terminate()
                server.shutdown()
    return kind.said


def test_pages_answer_as_the_runtime_does(dist: Path, chromium: str, tmp_path: Path) -> None:
    inputs: dict[str, list[Any]] = dict.fromkeys(TARGETS, STRINGS)
    for target in TARGETS[:-1]:
        one = made("class" if target in ("onnx", "student") else target, target == "student")
        parts = reduced(one) if target == "student" else one.parts
        folder = put(parts, "student" if target == "student" else "onnx", tmp_path / "all" / target)
        with_browser(folder, dist)
    model = tabular.made("class")
    with_browser(tabular.put(model, tmp_path / "all" / "table"), dist)
    inputs["table"] = [json.dumps(row) for row in odd_rows(table_parts(model).columns)] + tabular.spelled()
    told = opened(tmp_path / "all", inputs, chromium, tmp_path / "profile")
    for target, said in told.items():
        device = runtime.Model(tmp_path / "all" / target)
        asked = [line.encode() for line in inputs["table"]]
        expected = list(runtime.answers(device, asked)) if target == "table" else device(inputs[target])
        assert len(said) == len(expected), said[-1:]
        for got, wanted, row in zip(said, expected, inputs[target], strict=True):
            about = f"{target}: {row}"
            assert set(got) == set(wanted), about
            if "error" in wanted:
                assert "column" in got["error"], about
                continue
            if target == "number":
                assert got["prediction"] == pytest.approx(wanted["prediction"], abs=1e-9), about
            else:
                assert got["prediction"] == wanted["prediction"], about
            for key in ("confidence", "in_scope"):
                assert got[key] == pytest.approx(wanted[key], abs=1e-6), about
