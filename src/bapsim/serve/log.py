"""The log of one worker: append-only segments, written by one thread in the order of what it is given.

A line waits at most WAIT seconds or until LINES of them wait, and is then written and synced; one that has to
be kept (feedback, or all of them under `durable`) is on the disk before its future is done: all that waits
then goes with it. A
segment begins at each start, so that a half-written last line of a killed process has nothing behind it.
Personal data is masked here, before anything is written.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bapsim.serve.bare import bare
from bapsim.serve.encoding import encoded
from bapsim.store import fault
from bapsim.text.pii import scrub

WAIT = 0.2  # seconds that a line waits at most, where it need not be kept first
LINES = 500  # lines that wait at most
SIZE = 64 << 20  # bytes from which a segment is closed
AGE = 3600.0  # seconds from which it is closed
HELD = 20_000  # lines that are kept in memory while nothing can be written; more are lost, and counted
PAUSE = 0.5  # seconds between two attempts to write

_NAME = re.compile(r"(.+)-w([0-9]+)-([0-9]{8}T[0-9]{6})-([0-9]{6})\.jsonl")
Line = dict[str, Any]
said = logging.getLogger("bapsim.serve")


class Segment(NamedTuple):
    """A file of the log, by its name."""

    deployment: str
    worker: int
    start: str
    number: int

    @property
    def name(self) -> str:
        return f"{self.deployment}-w{self.worker}-{self.start}-{self.number:06d}.jsonl"


def segment_of(name: str) -> Segment | None:
    """What a file's name says, None for another file."""
    found = _NAME.fullmatch(name)
    return None if found is None else Segment(found[1], int(found[2]), found[3], int(found[4]))


def lines_of(path: Path) -> Iterator[Line]:
    """The whole lines of a segment; a last one without its end was never acknowledged, and what is no line of
    ours (a disk that failed, an editor) is the turn's to complain of.
    """
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError, RecursionError):
                if line.endswith(b"\n") and isinstance(said := json.loads(line), dict):
                    yield said


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that lies beside the log before a line names it; bare: without what its camera wrote."""

    path: str
    body: bytes
    bare: bool = False


@dataclass(kw_only=True, slots=True)
class Entry:
    """Lines to come, of one request. shared: what each of them says too; keep: they have to be on the disk
    before `done`; mask: where texts are, as the mapping that holds one and its name in it.
    """

    lines: list[Line]
    shared: Mapping[str, Any] = field(default_factory=dict)
    done: Future[None] | None = None
    keep: bool = False
    mask: Sequence[tuple[Line, str]] = ()
    pictures: Sequence[Picture] = ()


def _whole(entry: Entry) -> list[bytes]:
    """The lines of an entry as they are written; what they share is encoded once."""
    rest = b"," + encoded(entry.shared)[1:] if entry.shared else b"}"
    return [encoded(line)[:-1] + rest + b"\n" for line in entry.lines]


@dataclass(kw_only=True)
class Log:
    """See the module; `put` from any thread, `close` writes what waits. failing: why nothing can be written
    at this moment, or None; lost: lines that had to be dropped; masked: pieces of personal data; seconds:
    spent in writing and syncing.
    """

    folder: Path
    deployment: str
    worker: int
    pii: bool = True
    durable: bool = False
    size: int = SIZE
    age: float = AGE
    wait: float = WAIT
    failing: str | None = None
    failed: float = 0.0
    lost: int = 0
    written: int = 0
    masked: int = 0
    seconds: float = 0.0
    _queue: deque[Entry] = field(default_factory=deque)
    _lines: int = 0
    _wake: threading.Event = field(default_factory=threading.Event)
    _asleep: bool = False
    _ending: bool = False
    _file: int | None = None
    _path: Path | None = None
    _begun: float = 0.0
    _bytes: int = 0
    _number: int = 0
    _start: str = ""
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._start = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def current(self) -> str | None:
        """The name of the segment that is open."""
        return None if self._path is None else self._path.name

    @property
    def refuses(self) -> str | None:
        """Why nothing can be kept, where that was so a moment ago: later, it is worth another try."""
        return self.failing if time.monotonic() - self.failed < PAUSE else None

    def put(self, entry: Entry) -> None:
        """Take lines over; their future is done when they are where they have to be, or failed with OSError.

        The thread is woken only where it has to be: each waking costs the others a turn at the interpreter.
        """
        self._queue.append(entry)
        self._lines += len(entry.lines)
        if entry.keep or self._asleep or self._lines >= LINES:
            self._wake.set()

    def close(self) -> None:
        """Write and sync what waits, and end."""
        self._ending = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        waiting: list[Entry] = []
        while True:
            ending = self._ending  # what was put before that is there
            if not ending and not waiting:
                self._sleep()
            waiting += self._taken()
            if waiting:
                waiting = self._write(waiting)
            if ending:
                break
            if waiting:
                self._wake.wait(PAUSE)
                self._wake.clear()
        if waiting:
            self.lost += sum(len(entry.lines) for entry in waiting)
            said.error("%d lines of the log could not be written: %s", self.lost, self.failing)
        self._shut()

    def _sleep(self) -> None:
        """Until something has to be written: WAIT after the first line, or when somebody cannot wait."""
        self._asleep = True
        if not self._queue and not self._wake.wait(self._left):
            self._shut()  # old: no turn has to wait for this worker's next request
        self._asleep = False
        self._wake.clear()
        if not self._ending and self._queue and not any(entry.keep for entry in list(self._queue)):
            self._wake.wait(self.wait)
            self._wake.clear()

    def _taken(self) -> list[Entry]:
        found = []
        while self._queue:
            found.append(self._queue.popleft())
        self._lines = 0
        return found

    @property
    def _left(self) -> float | None:
        """Seconds until the open segment is old."""
        return None if self._file is None else max(self._begun + self.age - time.monotonic(), 0.0)

    def _write(self, entries: list[Entry]) -> list[Entry]:
        """Write and sync these lines; returns those that have to wait for better times."""
        try:
            entries, body = self._sound(entries)
            self._append(self._open(), body)
        except OSError as why:
            return self._failed(entries, why)
        self.failing = None
        self.written += sum(len(entry.lines) for entry in entries)
        for entry in entries:
            if entry.done is not None:
                entry.done.set_result(None)
        return []

    def _sound(self, entries: list[Entry]) -> tuple[list[Entry], bytes]:
        """The entries that can be written, and their lines; one that cannot takes no other along."""
        try:
            return entries, b"".join(self._bodies(entries))
        except OSError:
            raise
        except Exception as why:  # noqa: BLE001  it is told, and the thread goes on
            if len(entries) > 1:
                parts = [self._sound([entry]) for entry in entries]
                return [one for kept, _ in parts for one in kept], b"".join(body for _, body in parts)
            self.lost += len(entries[0].lines)
            said.exception("%d lines of the log could not be made", len(entries[0].lines))
            if entries[0].done is not None:
                entries[0].done.set_exception(OSError(f"{type(why).__name__}: {why}"))
            return [], b""

    def _append(self, handle: int, body: bytes) -> None:
        """All of it is on the disk, or OSError."""
        fault.point("before log")
        begun, view = time.monotonic(), memoryview(body)
        while view:
            view = view[os.write(handle, view) :]
        fault.point("before sync log")
        os.fsync(handle)
        self._bytes += len(body)
        self.seconds += time.monotonic() - begun
        fault.point("after log")

    def _failed(self, entries: list[Entry], why: OSError) -> list[Entry]:
        """A line that somebody waits for is given back; others are held, up to HELD lines."""
        if self.failing is None:
            said.error("the log cannot be written: %s", why)
        self.failing, self.failed = why.strerror or str(why), time.monotonic()
        if self._file is not None:
            with suppress(OSError):  # what is there of a batch goes: it would stand twice
                os.ftruncate(self._file, self._bytes)
            self._shut()
        kept: list[Entry] = []
        held = 0
        for entry in entries:
            if entry.done is not None:
                entry.done.set_exception(why)
            elif held + len(entry.lines) > HELD:
                self.lost += len(entry.lines)
            else:
                held += len(entry.lines)
                kept.append(entry)
        return kept

    def _bodies(self, entries: Sequence[Entry]) -> list[bytes]:
        self._mask(entries)
        for entry in entries:
            for picture in entry.pictures:
                self._beside(picture)
        return [line for entry in entries for line in _whole(entry)]

    def _mask(self, entries: Sequence[Entry]) -> None:
        places = [place for entry in entries for place in entry.mask] if self.pii else []
        if not places:
            return
        clean, hits = scrub([holder[name] for holder, name in places])
        for (holder, name), text in zip(places, clean, strict=True):
            holder[name] = text
        self.masked += int(hits.sum())

    def _beside(self, picture: Picture) -> None:
        path = self.folder / picture.path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fault.write(path, bare(picture.body) if picture.bare else picture.body)

    # ------------------------------------------------------------------ segments

    def _open(self) -> int:
        """The segment that is written to: a new one at the start, and where the old one is full or old."""
        old = self._bytes >= self.size or time.monotonic() - self._begun >= self.age
        if self._file is not None and (old or self._is_gone()):
            self._shut()
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            while True:  # a start within the same second finds its names taken
                name = Segment(self.deployment, self.worker, self._start, self._number).name
                self._number += 1
                try:
                    self._file = os.open(self.folder / name, flags, 0o640)
                    break
                except FileExistsError:
                    continue
            self._path, self._begun, self._bytes = self.folder / name, time.monotonic(), 0
            fault.sync(self.folder)
        return self._file

    def _is_gone(self) -> bool:
        """Whether somebody removed or replaced the open segment: what is written to it nobody would find."""
        try:
            there = None if self._path is None else self._path.stat()
        except FileNotFoundError:
            there = None
        here = None if self._file is None else os.fstat(self._file)
        return there is None or here is None or not os.path.samestat(there, here)

    def _shut(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None
            if self._path is not None and not self._bytes:
                self._path.unlink(missing_ok=True)  # nothing came of it
            self._path = None
