"""Laws of the log: every acknowledged line is there once and whole, whatever is put and whenever it ends."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bapsim.serve import retention
from bapsim.serve.ids import issued, issuer, service_key
from bapsim.serve.log import Entry, Log, Picture, lines_of, segment_of
from bapsim.serve.release import folder_of
from bapsim.serve.retention import retire
from bapsim.store.lake import read_batch
from bapsim.store.project import opened
from tests.cli.conftest import run
from tests.serve.world import copied, until

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
Some = tuple[str, bool, int]
entries = st.lists(st.tuples(texts, st.booleans(), st.integers(1, 4)), max_size=25)


def started(folder: Path, **options: Any) -> Log:
    log = Log(folder=folder, deployment="d", worker=0, **options)
    log.start()
    return log


def read(folder: Path) -> list[dict[str, Any]]:
    return [line for path in sorted(folder.glob("*.jsonl")) for line in lines_of(path)]


@settings(max_examples=30)
@given(entries, st.booleans(), st.integers(60, 4000))
def test_what_is_put_is_read_in_its_order(
    some: list[tuple[str, bool, int]], durable: bool, size: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        log = started(folder, durable=durable, size=size, wait=0.001)
        wanted = []
        for i, (said, keep, count) in enumerate(some):
            lines = [{"request": f"{i}-{j}", "input": {"text": said}} for j in range(count)]
            wanted += [line["request"] for line in lines]
            done: Future[None] | None = Future() if keep else None
            mask = [(line["input"], "text") for line in lines]
            log.put(Entry(lines=lines, done=done, keep=keep, mask=mask))
            if done is not None:
                done.result(5)
                assert [line["request"] for line in read(folder)] == wanted, "all before it, too"
        log.close()
        assert [line["request"] for line in read(folder)] == wanted
        assert log.written == len(wanted)
        assert all(segment_of(path.name) is not None for path in folder.iterdir())
        for path in folder.iterdir():
            assert path.read_bytes().endswith(b"\n")


@settings(max_examples=20)
@given(st.binary(max_size=60))
def test_a_half_written_line_spoils_no_other(rest: bytes) -> None:
    rest = rest.replace(b"\n", b"")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for i in range(2):  # a start, a kill, a start within the same second
            log = started(folder)
            log.put(Entry(lines=[{"request": f"r{i}"}]))
            log.close()
            with sorted(folder.iterdir())[-1].open("ab") as file:
                file.write(rest)
        assert [line["request"] for line in read(folder)] == ["r0", "r1"]
        assert len(list(folder.iterdir())) == 2


def test_lines_wait_no_longer_than_stated(tmp_path: Path) -> None:
    log = started(tmp_path, wait=0.2)
    begun = time.monotonic()
    log.put(Entry(lines=[{"request": "a"}]))
    time.sleep(0.1)
    log.put(Entry(lines=[{"request": "b"}]))
    until(lambda: read(tmp_path), lambda lines: len(lines) == 2, 2)
    assert time.monotonic() - begun < 0.6
    for _ in range(3):
        log.put(Entry(lines=[{"request": "c"}] * 200))
    begun = time.monotonic()
    until(lambda: len(read(tmp_path)), lambda count: count == 602, 2)
    log.close()
    assert log.lost == 0


@pytest.mark.parametrize("how", ["unlink", "rename", "replace", "folder"])
def test_what_is_acknowledged_is_found_though_somebody_removes_the_segment(how: str, tmp_path: Path) -> None:
    folder, kept = tmp_path / "log", Path(tmp_path / "kept.jsonl")
    log = started(folder)
    for name in ("a", "b"):
        done: Future[None] = Future()
        log.put(Entry(lines=[{"request": name}], done=done, keep=True))
        done.result(5)
        assert name in [line["request"] for line in read(folder)]
        (path,) = [folder / str(log.current)]
        if how == "rename":
            path.rename(kept)
        elif how == "folder":
            shutil.rmtree(folder)
        else:
            path.unlink()
            if how == "replace":
                path.write_text("")
    log.close()
    assert (log.lost, log.failing) == (0, None)


def test_segments_are_closed_by_age(tmp_path: Path) -> None:
    log = started(tmp_path, wait=0.01, age=0.15)
    log.put(Entry(lines=[{"request": "a"}]))
    until(lambda: log.written, lambda written: written == 1)
    until(lambda: log.current, lambda current: current is None, 2)
    log.put(Entry(lines=[{"request": "b"}]))
    log.close()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: a real write that really fails, in a process of its own."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _full(tmp_path)
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [line["request"] for line in read(tmp_path)] == ["a", "b", "c", "e"]


def _full(folder: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    log = started(folder, wait=0.01)
    log.put(Entry(lines=[{"request": "a"}]))
    until(lambda: log.written, lambda written: written == 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, hard))
    log.put(Entry(lines=[{"request": "b"}, {"request": "c"}]))  # half of it would fit
    until(lambda: log.failing, lambda failing: failing is not None)
    done: Future[None] = Future()
    log.put(Entry(lines=[{"request": "d" * 30}], done=done, keep=True))
    with pytest.raises(OSError, match="File too large"):
        done.result(5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    until(lambda: log.failing, lambda failing: failing is None)
    log.put(Entry(lines=[{"request": "e"}]))
    log.close()
    assert log.lost == 0


def test_many_threads_put_and_nothing_is_lost(tmp_path: Path) -> None:
    log = started(tmp_path, wait=0.002)

    def put(thread: int) -> None:
        for i in range(300):
            done: Future[None] | None = Future() if i % 50 == 0 else None
            log.put(Entry(lines=[{"request": f"{thread}-{i}"}], done=done, keep=done is not None))
            if done is not None:
                done.result(5)

    threads = [threading.Thread(target=put, args=(k,)) for k in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    log.close()
    names = [line["request"] for line in read(tmp_path)]
    assert sorted(names) == sorted(f"{k}-{i}" for k in range(4) for i in range(300))


def test_segments_go_only_when_they_are_old_and_taken(
    text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real turns: feedback that none has taken holds the segment of its request."""
    monkeypatch.setattr(retention, "COARSE", 0.1)
    root = copied(text, tmp_path / "text")
    folder = retention.log_folder(root)
    names = issuer(service_key(folder_of(root)), 0)(3)
    stated = {"at": "2026-11-22T10:00:00.000000+00:00", "deployment": "d", "purpose": None, "consent": None}

    def put(*lines: dict[str, Any]) -> str:
        log = started(folder)
        log.put(Entry(lines=[dict(line) for line in lines], shared=stated))
        until(lambda: log.current, lambda current: current is not None)
        name = log.current
        log.close()
        assert name is not None
        return name

    def request(name: str, said: str) -> dict[str, Any]:
        return {"request": name, "input": {"text": said}, "prediction": "x", "model": "m", "draw": "all"}

    def gone(days: int = 30) -> tuple[int, int]:
        monkeypatch.setattr(retention, "time", lambda: time.time() + 31 * retention.DAY)
        return retire(root, "d", days, current=None)

    spoken_of = put(request(names[0], "where is the card that I lost"))
    put(request(names[1], "my card is gone, was it stolen"))
    assert gone() == (0, 2), "no turn has seen them"
    assert retire(root, "other", 30, current=None) == (0, 0)
    time.sleep(retention.COARSE)
    run("-C", root, "turn")
    said = put({"request": names[0], "correction": "a new label", "by": None})
    (folder / "by-hand.jsonl").write_text("not ours\n")
    assert gone(40) == (0, 0), "not old"
    assert gone() == (1, 2), "what was said since, and of what"
    assert {path.name for path in folder.glob("d-*")} == {spoken_of, said}
    when = issued(service_key(folder_of(root)), names[0])
    assert when is not None
    assert when.at <= retention.deleted_upto(root)
    assert not retention.is_gone(root, names[0], when)
    assert retention.is_gone(root, names[1], when)
    time.sleep(retention.COARSE)
    run("-C", root, "turn")
    assert gone() == (2, 0)
    with opened(root, writing=False) as project:
        rows = [read_batch(project.wheel / one.path, ["label"]) for one in project.shards()]
    assert "a new label" in [label for batch in rows for label in batch.column("label").to_pylist()]


def test_a_picture_with_a_broken_head_does_not_end_the_log(tmp_path: Path) -> None:
    """Its EXIF cannot be read: it goes, and what cannot be made of an entry takes no other along."""
    made = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 16)).save(made, "WEBP", exif=exif)
    broken = made.getvalue().replace(b"MM\0*", b"MM\2*")
    assert broken != made.getvalue()
    log = Log(folder=tmp_path, deployment="main", worker=0)
    log.start()
    done: Future[None] = Future()
    log.put(
        Entry(lines=[{"request": "a"}], pictures=[Picture(path="pictures/a.webp", body=broken, bare=True)])
    )
    log.put(Entry(lines=[{"request": object()}]))
    log.put(Entry(lines=[{"request": "b"}], done=done, keep=True))
    done.result(timeout=10)
    log.close()
    lines = [json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [line["request"] for line in lines] == ["a", "b"]
    assert log.lost == 1
    with Image.open(tmp_path / "pictures" / "a.webp") as kept:
        assert not kept.getexif()


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"upto": null}', '{"upto": NaN}', "[" * 100_000])
def test_a_damaged_mark_or_line_stops_nobody(body: str, tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "deleted-main.json").write_text(body)
    assert retention.deleted_upto(tmp_path) == 0
    segment = tmp_path / "main-w0-20261122T100000-000000.jsonl"
    segment.write_text(f'{body}\n\n{{"request": "r1", "input": null}}\n{{"request": "r2"')
    assert list(lines_of(segment))[-1] == {"request": "r1", "input": None}
    retention._delete(segment)
    assert not segment.exists()
