"""Somebody's code against somebody's tests, in processes that can do nothing but compute (refine.inside).

Linux on x86-64 or arm64 only, where the kernel keeps the limits; elsewhere nothing is run at all.
"""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import FileIO
from pathlib import Path
from typing import IO, Any, cast

from bapsim.core.errors import RecipeError
from bapsim.refine import inside

INSIDE = Path(inside.__file__)
VERDICT = 4096  # bytes of a verdict
_PROBE = """
import os
def probe(path):
    try:
        os.open(path, os.O_RDONLY)
    except PermissionError:
        return "shut"
    return "open"
"""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """cpu_seconds: of each process; seconds: of wall time for all; memory: bytes of address space of each."""

    cpu_seconds: int = 4
    seconds: float = 10.0
    memory: int = 1 << 29


@dataclass(frozen=True, kw_only=True)
class Examined:
    """passed: True, False, or None where the tests need more than plain values; calls: that came back; why:
    the exception that ended the tests, "no_call" where they call nothing, "no_verdict" where they never end.
    """

    passed: bool | None
    calls: int = 0
    why: str = ""


@cache
def confined() -> bool:
    """Whether code can be run safely here: tried once, by a file that must not open."""
    if sys.platform != "linux" or not inside.known(platform.machine()):
        return False
    shut = "assert probe('/') == 'shut'"
    try:
        return _run(_PROBE, shut, "probe", "", Limits(seconds=30)).passed is True
    except OSError:  # our own interpreter may not be started
        return False


def examined(
    source: str, tests: str, entry: str, *, setup: str = "", limits: Limits | None = None
) -> Examined:
    """Whether the function `entry` of a source passes tests.

    tests: top-level assertions, functions test_*, or `check(candidate)`; they call the function by its name
    or as `candidate`, with plain values; setup: what they may use beside it, run before them. Tests that
    never call it are not passed. Raises RecipeError where nothing can be run safely.
    """
    if not confined():
        raise RecipeError("sandbox_missing", system=f"{sys.platform} {platform.machine()}")
    return _run(source, tests, entry, setup, limits or Limits())


def _run(source: str, tests: str, entry: str, setup: str, limits: Limits) -> Examined:
    until = time.monotonic() + limits.seconds
    most = {"cpu_seconds": limits.cpu_seconds, "memory": limits.memory}
    with ExitStack() as stack:
        (asked, ask), (answered, answer), (verdict, judge) = (_pipe(stack) for _ in range(3))
        job = {"source": source, "entry": entry, **most}
        stack.enter_context(_process("answer", job, (asked, answer)))
        job = {"setup": setup, "tests": tests, "entry": entry, **most}
        stack.enter_context(_process("tests", job, (judge, ask, answered)))
        for end in (asked, ask, answered, answer, judge):
            end.close()  # only the two hold them now: who dies is noticed
        said = _read(verdict, until)
    try:
        found = json.loads(said)
    except ValueError:
        return Examined(passed=False, why="no_verdict")
    if found["odd"]:
        return Examined(passed=None, calls=found["calls"], why="not_plain")
    why = found["why"] or ("" if found["calls"] else "no_call")
    return Examined(passed=found["passed"], calls=found["calls"], why=why)


def _pipe(stack: ExitStack) -> tuple[FileIO, FileIO]:
    """The ends to read from and to write into, closed with the stack."""
    out, into = os.pipe()
    return stack.enter_context(FileIO(out, "r")), stack.enter_context(FileIO(into, "w"))


@contextmanager
def _process(role: str, job: dict[str, Any], ends: tuple[FileIO, ...]) -> Iterator[None]:
    """A process of the sandbox with its job, killed with all that it could have started."""
    fds = [end.fileno() for end in ends]
    # As `python -I` does it, but for one variable: texts hash alike each time, and so do verdicts.
    command = [sys.executable, "-s", "-P", "-S", "-B", str(INSIDE), role, *map(str, fds)]
    with subprocess.Popen(  # noqa: S603  our own interpreter and file
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=fds,
        env={"PYTHONHASHSEED": "0", **{n: v for n, v in os.environ.items() if n == "LD_LIBRARY_PATH"}},
        cwd="/",
        start_new_session=True,
    ) as child:
        try:
            stdin = cast("IO[bytes]", child.stdin)
            with suppress(BrokenPipeError), stdin:
                stdin.write(json.dumps(job).encode())
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _read(end: FileIO, until: float) -> bytes:
    """What comes through a pipe up to its end, VERDICT bytes, or a time."""
    said = b""
    while len(said) < VERDICT and (left := until - time.monotonic()) > 0:
        if not select.select([end], [], [], left)[0]:
            break
        chunk = os.read(end.fileno(), VERDICT)
        if not chunk:
            break
        said += chunk
    return said
