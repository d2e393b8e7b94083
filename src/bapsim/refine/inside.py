"""What runs inside the sandbox: a program of its own that imports nothing of ours (see refine.sandbox).

Before a line of somebody's code runs, the process gives up what it could do harm with: limits of time and
memory, then a filter of system calls (seccomp) that leaves memory, clocks and the pipes that it has. No file
can be opened from then on, no process started, no socket made, no signal sent, no limit raised; modules that
the code names are therefore imported before, from a list of those that only compute.

The answer runs in one process, the tests in another, and only plain values pass between them, as text: an
answer cannot see the tests, replace what they use, return an object that equals everything, or end them.
"""

from __future__ import annotations

import builtins
import ctypes
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

_COMPUTING = (
    "abc array base64 binascii bisect calendar cmath collections contextlib copy csv dataclasses datetime "
    "decimal difflib enum fractions functools hashlib heapq html io itertools json math numbers operator "
    "queue random re statistics string struct textwrap time types typing unicodedata zlib"
)
MODULES = frozenset(_COMPUTING.split())
LATE = ("_strptime", "encodings.ascii", "encodings.latin_1", "encodings.cp949", "encodings.utf_16")
LINE = 1 << 20  # bytes of one question or answer between the two
_CPUS = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# What is left, by name: its number on x86-64 and on arm64.
_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "madvise": (28, 233),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "getpid": (39, 172),
    "gettid": (186, 178),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "sched_yield": (24, 124),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "gettimeofday": (96, 169),
    "times": (100, 153),
    "getrusage": (98, 165),
    "getrandom": (318, 278),
    "restart_syscall": (219, 128),
}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000  # refuse: the call fails with EPERM
_NO_NEW_PRIVILEGES, _SECCOMP, _BY_FILTER = 38, 22, 2


class NotPlain(TypeError):
    """A value that is no number, text, truth value, None, or list, tuple, set or mapping of such."""


class _Step(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Step)))


def plain(value: Any) -> Any:
    """A value as JSON that says its types; raises NotPlain for anything that is not exactly one of them."""
    kind = type(value)
    if value is None or kind in (bool, str):
        return value
    if kind is float:
        return {"float": value.hex()}
    if kind in (list, tuple, set, frozenset):
        return {kind.__name__: [plain(one) for one in value]}
    if kind is dict:
        return {"dict": [[plain(key), plain(one)] for key, one in value.items()]}
    if kind is complex:
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if kind in (int, bytes):
        return {kind.__name__: str(value) if kind is int else value.hex()}
    raise NotPlain(kind.__name__)


def built(said: Any) -> Any:
    """The value that `plain` wrote; raises NotPlain, ValueError or TypeError for what it never writes."""
    if said is None or isinstance(said, bool | str):
        return said
    if not isinstance(said, dict) or len(said) != 1:
        raise NotPlain("no value")
    ((kind, of),) = said.items()
    make = _MAKE.get(kind)
    if make is None:
        raise NotPlain(kind)
    return make(of)


_MAKE: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float.fromhex,
    "bytes": bytes.fromhex,
    "complex": lambda of: complex(float.fromhex(of[0]), float.fromhex(of[1])),
    "list": lambda of: [built(one) for one in of],
    "tuple": lambda of: tuple(built(one) for one in of),
    "set": lambda of: {built(one) for one in of},
    "frozenset": lambda of: frozenset(built(one) for one in of),
    "dict": lambda of: {built(key): built(one) for key, one in of},
}


def known(machine: str) -> bool:
    """Whether the filter of system calls is written for this processor."""
    return machine in _CPUS


def confine(cpu_seconds: int, memory: int) -> None:
    """Give up everything but memory, clocks and open pipes, for good; raises OSError where that fails."""
    import resource

    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for name, most in limits.items():
        resource.setrlimit(name, (most, most))
    arch, column = _CPUS[platform.machine()]
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    for numbers in _CALLS.values():
        steps += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _ALLOW)]
    steps.append((_RETURN, 0, 0, _REFUSE))
    table = (_Step * len(steps))(*(_Step(*step) for step in steps))
    program = _Program(len(steps), table)
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_NO_NEW_PRIVILEGES, 1, 0, 0, 0),
        (_SECCOMP, _BY_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "prctl")


def named_modules(*sources: str) -> list[str]:
    """Modules of the list that these sources name anywhere."""
    text = "\n".join(sources)
    words = "".join(char if char.isalnum() or char == "_" else " " for char in text).split()
    return sorted(MODULES.intersection(words))


def lines(fd: int) -> Iterator[bytes]:
    """What comes through a pipe, line by line; it ends where a line is longer than LINE."""
    rest = b""
    while chunk := os.read(fd, 1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if len(line) > LINE:
                return
            yield line
        if len(rest) > LINE:
            return


def send(fd: int, said: Any) -> None:
    """One line of JSON into a pipe, all of it."""
    body = json.dumps(said).encode() + b"\n"
    while body:
        body = body[os.write(fd, body) :]


def answering(job: dict[str, Any], hear: int, say: int) -> None:
    """Run an answer and call its function with what is asked, until nobody asks any more."""
    space: dict[str, Any] = {"__name__": "answer"}
    exec(compile(job["source"], "answer", "exec"), space)  # noqa: S102  this is what the sandbox is for
    function = space[job["entry"]]
    for line in lines(hear):
        asked = json.loads(line)
        given, named = built(asked["args"]), built(asked["kwargs"])
        try:
            value = function(*given, **named)
            send(say, {"value": plain(value), "args": [_left(one) for one in given]})
        except Exception as why:  # noqa: BLE001  the tests may expect it
            send(say, {"raised": type(why).__name__, "said": str(why)[:1000]})


def _left(value: Any) -> Any:
    """A list, set or mapping as the function left it; None for anything else."""
    return plain(value) if isinstance(value, list | set | dict) else None


class Proxy:
    """The answer's function as the tests see it: calls go to the other process.

    calls: how many came back; odd: an argument was not plain, so that nothing can be said.
    """

    def __init__(self, say: int, hear: int) -> None:
        self.say, self.heard, self.calls, self.odd = say, lines(hear), 0, False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            asked = {"args": plain(list(args)), "kwargs": plain(kwargs)}
        except NotPlain:
            self.odd = True
            raise
        with suppress(BrokenPipeError):
            send(self.say, asked)
        line = next(self.heard, None)
        if line is None:
            raise RuntimeError("the answer ended")
        said = json.loads(line)
        self.calls += 1
        if "raised" in said:
            raise _exception(str(said["raised"]))(str(said["said"]))
        for one, after in zip(args, map(built, said["args"]), strict=True):
            _put_back(one, after)
        return built(said["value"])


def _exception(name: str) -> type[Exception]:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else RuntimeError


def _put_back(one: Any, after: Any) -> None:
    """What the function did to an argument of the tests, as if it had been the same object."""
    if type(one) is not type(after) or one == after:
        return
    if isinstance(one, list):
        one[:] = after
    elif isinstance(one, set | dict):
        one.clear()
        one.update(after)


def examining(job: dict[str, Any], verdict: int, proxy: Proxy) -> None:
    """Run the tests against the answer in the other process, and say whether all passed and any called it."""
    space: dict[str, Any] = {"__name__": "tests"}
    why = ""
    try:
        exec(compile(job["setup"], "setup", "exec"), space)  # noqa: S102  in the sandbox, too
        space[job["entry"]] = space["candidate"] = proxy
        exec(compile(job["tests"], "tests", "exec"), space)  # noqa: S102
        for test in _tests(space, proxy):
            test()
    except BaseException as error:  # noqa: BLE001  whatever it is, the tests did not pass
        why = type(error).__name__
    send(verdict, {"passed": not why and proxy.calls > 0, "calls": proxy.calls, "odd": proxy.odd, "why": why})


def _tests(space: dict[str, Any], proxy: Proxy) -> Sequence[Callable[[], Any]]:
    """`check(candidate)` as HumanEval has it, and functions test_*; top-level assertions ran already."""
    found = [one for name, one in space.items() if name.startswith("test_") and callable(one)]
    check = space.get("check")
    return [*found, *([lambda: check(proxy)] if callable(check) else [])]


def main(role: str, one: int, two: int, three: int = -1) -> None:
    """role: answer (hear, say) or tests (verdict, say, hear); the job is JSON on standard input."""
    with open(0, "rb", closefd=False) as given:
        job = json.load(given)
    for name in (*LATE, *named_modules(*(str(part) for part in job.values()))):
        __import__(name)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    if "random" in sys.modules:
        sys.modules["random"].seed(0)
    sys.setrecursionlimit(10_000 if role == "answer" else 2_000)
    confine(job["cpu_seconds"], job["memory"])
    if role == "answer":
        answering(job, one, two)
    else:
        examining(job, one, Proxy(two, three))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
