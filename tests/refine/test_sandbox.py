"""Hostile code gets nowhere, and never passes; right code does."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import RecipeError
from bapsim.refine import inside, sandbox
from bapsim.refine.inside import NotPlain, built, named_modules, plain
from bapsim.refine.sandbox import Limits, confined, examined

pytestmark = pytest.mark.skipif(not confined(), reason="no seccomp here")
TESTS = (
    "def check(candidate):\n    assert candidate([3, 1, 2]) == [1, 2, 3]\n    assert candidate([]) == []\n"
)
RIGHT = "def f(values):\n    return sorted(values)\n"
# Each defines f, and would pass if the sandbox or the tests were weak.
HOSTILE = {
    "exit before the tests": "import os\nos._exit(0)",
    "exit at the first call": "import os\ndef f(v):\n    os._exit(0)",
    "sys.exit": "import sys\nsys.exit(0)",
    "exit code of a failed lock": "import os\nos._exit(97)",
    "equal to everything": "class A(list):\n    def __eq__(self, o): return True\n    __ne__ = None\n"
    "def f(v):\n    return A()",
    "equal, and no list": "class A:\n    def __eq__(self, o): return True\ndef f(v):\n    return A()",
    "lying type": "class A(list):\n    __class__ = list\ndef f(v):\n    return A()",
    "builtins": "import builtins\nbuiltins.sorted = lambda v: v\n"
    "builtins.AssertionError = type('E', (), {})\ndef f(v):\n    return v",
    "the tests' frame": "import sys\ndef f(v):\n    frame = sys._getframe()\n    while frame:\n"
    "        frame.f_globals['check'] = lambda c: None\n        frame.f_globals['testing'] = None\n"
    "        frame = frame.f_back\n    return v",
    "forged verdict": "import os\nfor fd in range(3, 30):\n    try:\n"
    '        os.write(fd, b\'{"passed": true, "calls": 2, "odd": false, "why": ""}\\n\')\n'
    "    except OSError:\n        pass\ndef f(v):\n    return v",
    "forged answer": "import os, json\nfor fd in range(3, 30):\n    try:\n"
    '        os.write(fd, b\'{"value": {"Always": 1}, "args": [null]}\\n\' * 3)\n'
    "    except OSError:\n        pass\ndef f(v):\n    return v",
    "deep answer": "import os\nfor fd in range(3, 30):\n    try:\n"
    "        os.write(fd, b'{\"value\": ' + b'{\"list\": [' * 9000 + b'\\n')\n"
    "    except OSError:\n        pass\ndef f(v):\n    return v",
    "infinite answer": "import os\nwhile True:\n    for fd in range(3, 30):\n        try:\n"
    "            os.write(fd, b'x' * 65536)\n        except OSError:\n            pass",
    "infinite output": "while True:\n    print('x' * 65536)",
    "infinite loop": "while True:\n    pass",
    "ignored limit": "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass",
    "memory": "x = []\nwhile True:\n    x.append(bytearray(1 << 26))",
    "recursion": "def f(v):\n    return f(v)",
    "a segmentation fault": "import ctypes\nctypes.string_at(0)",
    "no function": "x = 1",
    "syntax": "def f(v:\n",
    "nothing": "",
    "raises": "def f(v):\n    raise ValueError",
    "sleeps": "import time\ntime.sleep(60)",
    "unpicklable": "def f(v):\n    return lambda: v",
    "a parser's nightmare": "x = " + "(" * 5000 + ")" * 5000,
    "a nul": "\0",
}
REFUSED = ("PermissionError", "OSError", "RuntimeError", "ModuleNotFoundError", "ValueError")
SMALL = Limits(cpu_seconds=1, seconds=3.0, memory=1 << 28)


def test_right_code_passes() -> None:
    assert examined(RIGHT, TESTS, "f").passed is True
    assert examined("def f(v):\n    return v", TESTS, "f").passed is False


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_does_not_pass(name: str) -> None:
    started = time.monotonic()
    said = examined(HOSTILE[name], TESTS, "f", limits=SMALL)
    assert said.passed is False, said
    assert time.monotonic() - started < 8


@given(st.text(max_size=80))
@settings(max_examples=8)
def test_noise_does_not_pass(noise: str) -> None:
    assert examined(noise, TESTS, "f", limits=SMALL).passed is False


def tried(body: str, *, path: str = "") -> str:
    """What an attempt inside ends with: the name of its exception, or what it returned."""
    source = "import os, sys\ndef f(path):\n    try:\n"
    source += "".join(f"        {line}\n" for line in body.splitlines())
    source += "    except BaseException as why:\n        return type(why).__name__\n    return 'done'\n"
    found = []
    for outcome in (*REFUSED, "done"):
        said = examined(source, f"assert f({path!r}) == {outcome!r}", "f", limits=SMALL)
        if said.passed:
            found.append(outcome)
            break
    return found[0] if found else "another"


@pytest.mark.parametrize(
    "body",
    [
        "os.fork()",
        "import _posixsubprocess\nos.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "import _thread\n_thread.start_new_thread(print, ())",
        "open('/etc/passwd')",
        "open('/proc/self/environ')",
        "open(f'/proc/{os.getppid()}/environ')",
        "os.listdir('/')",
        "os.stat('/etc/passwd')",
        "os.mkdir(path + 'd')",
        "open(path, 'w').write('x')",
        "os.symlink('/etc', path)",
        "os.unlink(path)",
        "os.chmod('/tmp', 0)",
        "os.kill(os.getppid(), 9)",
        "os.killpg(0, 9)",
        "os.setuid(0)",
        "os.memfd_create('x')",
        "os.pipe()",
        "os.mkfifo(path)",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.socket(2, 1, 0) < 0: raise PermissionError",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.prctl(22, 0, 0, 0, 0) < 0: raise PermissionError",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.syscall(425, 8, 0) < 0: raise PermissionError",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.ptrace(16, os.getpid(), 0, 0) < 0: raise PermissionError",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
        "import _socket\n_socket.socket()",
        "import subprocess",
    ],
)
def test_nothing_but_computing_is_left(body: str, tmp_path: Path) -> None:
    path = tmp_path / "written"
    assert tried(body, path=str(path)) in REFUSED
    assert not path.exists()
    assert not (tmp_path / "writtend").exists()


def test_a_socket_that_listens_hears_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        body = f"import socket\nsocket.create_connection(('127.0.0.1', {port}))"
        assert tried(body) != "done"
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_secret_of_the_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAPSIM_SECRET", "tok-1234")
    source = "import os\ndef f(x):\n    return dict(os.environ)"
    assert examined(source, "assert 'BAPSIM_SECRET' not in f(1) and 'PATH' not in f(1)", "f").passed is True


def test_descriptors_of_ours_do_not_come_along(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do not read")
    with secret.open() as kept:
        os.set_inheritable(kept.fileno(), True)
        source = "import os\ndef f(fd):\n    try:\n        return os.read(fd, 9).decode()\n"
        source += "    except OSError:\n        return 'shut'"
        assert (
            examined(source, f"assert f({kept.fileno()}) == 'do not re'", "f", limits=SMALL).passed is False
        )


def test_tests_that_call_nothing_are_not_passed() -> None:
    for tests in ("", "assert True", "def check(candidate):\n    pass", "def test_a():\n    assert 1"):
        said = examined(RIGHT, tests, "f")
        assert (said.passed, said.why) == (False, "no_call")
    assert examined(RIGHT, "f([1])\nraise SystemExit", "f").passed is False
    assert examined(RIGHT, "import os\nf([1])\nos._exit(0)", "f").passed is False


def test_tests_of_three_forms() -> None:
    assert examined(RIGHT, "def test_a():\n    assert f([2, 1]) == [1, 2]", "f").calls == 1
    assert examined(
        RIGHT, "assert candidate([2, 1]) == helper()", "f", setup="def helper():\n    return [1, 2]"
    ).passed
    raising = "def f(x):\n    raise KeyError('no')"
    wants = "try:\n    f(1)\nexcept KeyError:\n    pass\nelse:\n    raise AssertionError"
    assert examined(raising, wants, "f").passed is True
    assert examined("def f(x):\n    return x", wants, "f").passed is False


def test_what_a_function_does_to_its_argument_is_seen() -> None:
    source = "def f(v, d, s):\n    v.sort()\n    d['a'] = 1\n    s.add(2)"
    tests = "v, d, s = [2, 1], {}, set()\nf(v, d, s)\nassert (v, d, s) == ([1, 2], {'a': 1}, {2})"
    assert examined(source, tests, "f").passed is True


def test_what_is_not_plain_cannot_be_told() -> None:
    said = examined("def f(g):\n    return g(1)", "assert f(lambda x: x) == 1", "f")
    assert (said.passed, said.why) == (None, "not_plain")
    swallowed = "try:\n    f(lambda x: x)\nexcept TypeError:\n    pass\nf(1)"
    assert examined("def f(g):\n    return g", swallowed, "f").passed is None


def test_the_same_verdict_each_time() -> None:
    source = "import random\ndef f(x):\n    return [random.random(), list({'a', 'b', 'c'}), hash('x')]"
    first = "import random\nassert f(1)[0] == random.random()\nassert f(2)[2] == hash('x')"
    assert examined(source, first, "f").passed is True


def test_many_threads_at_once() -> None:
    said: list[object] = []
    workers = [
        threading.Thread(
            target=lambda ok=n % 2: said.append((ok, examined(RIGHT if ok else "", TESTS, "f").passed))
        )
        for n in range(6)
    ]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(said) == [(0, False)] * 3 + [(1, True)] * 3
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_elsewhere_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    confined.cache_clear()
    monkeypatch.setattr(sandbox.sys, "platform", "plan9")
    try:
        with pytest.raises(RecipeError, match="plan9"):
            examined(RIGHT, TESTS, "f")
    finally:
        confined.cache_clear()


FLOATS = st.floats(allow_nan=False)
ATOMS = st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=5) | st.binary(max_size=5)
PLAIN = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.sets(st.integers(), max_size=3)
        | st.frozensets(st.text(max_size=2), max_size=3)
        | st.complex_numbers(allow_nan=False)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_plain_values_come_back_with_their_types(value: object) -> None:
    back = built(plain(value))
    assert (type(back), back) == (type(value), value)
    assert type(built(plain(True))) is bool
    assert str(built(plain([-0.0, float("nan")]))) == "[-0.0, nan]"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["int", "list", "dict", "set", "float", "bytes", "x"]), x, max_size=2
            )
        ),
        max_leaves=6,
    )
)
def test_forged_values_are_plain_or_nothing(said: object) -> None:
    kinds = (type(None), bool, int, float, str, bytes, complex, list, tuple, set, frozenset, dict)
    try:
        value = built(said)
    except (NotPlain, ValueError, TypeError, IndexError, AttributeError):
        return
    assert type(value) in kinds


def test_subclasses_are_not_plain() -> None:
    for value in (type("I", (int,), {})(1), type("L", (list,), {})(), object(), [object()], range(3)):
        with pytest.raises(NotPlain):
            plain(value)


def test_only_modules_that_compute_are_imported_first() -> None:
    assert named_modules("import math, os\nfrom collections import Counter", "re.sub") == [
        "collections",
        "math",
        "re",
    ]
    assert inside.known("x86_64")
    assert not inside.known("mips")
