"""Identity: what changes what a step does changes it, what does not does not."""

import functools
import importlib.util
import itertools
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core import fingerprint as module
from bapsim.core.errors import RecipeError
from bapsim.core.fingerprint import code_identity, digest, fingerprint
from bapsim.core.records import Origin, Task

folders = itertools.count()


@pytest.fixture
def identity(tmp_path):
    """The identity of `step` in a recipe of these files, each time in a new folder."""

    def of(recipe, step="step", call=None, **helpers):
        folder = tmp_path / str(next(folders))
        for name, body in {"the_recipe": recipe, **helpers}.items():
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(body), "utf-8")
        before = set(sys.modules)
        sys.path.insert(0, str(folder))
        try:
            spec = importlib.util.spec_from_file_location("the_recipe", folder / "the_recipe.py")
            made = importlib.util.module_from_spec(spec)
            sys.modules["the_recipe"] = made
            spec.loader.exec_module(made)
            value = getattr(made, step)
            return fingerprint(call(value) if call else value)
        finally:
            sys.path.remove(str(folder))
            for name in set(sys.modules) - before:
                del sys.modules[name]

    return of


def step(rows):
    return rows


# ------------------------------------------------------------------ values

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
PLAIN = st.recursive(
    LEAVES | st.text(max_size=4) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def exact(value):
    """A value with the types that == forgets: 1, 1.0 and True are three things."""
    match value:
        case list() | tuple():
            return tuple(exact(v) for v in value)
        case dict():
            return ("m", *((k, exact(v)) for k, v in value.items()))
        case float():
            return ("f", value.hex())
    return type(value), value


@given(PLAIN, PLAIN)
def test_equal_values_and_only_they_have_equal_fingerprints(a, b):
    assert (fingerprint(a) == fingerprint(b)) == (exact(a) == exact(b))


def test_a_fingerprint_is_sixteen_hex_digits_and_stays():
    assert digest(b"") == "e4a6a0577479b2b4"
    assert fingerprint("밥", 1, 0.5, b"\x00", None, {"a": [1]}) == "4605b950cd22c8dc"


def test_order_counts_in_sequences_and_mappings_not_in_sets():
    assert fingerprint([1, 2]) == fingerprint((1, 2)) != fingerprint([2, 1])
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"b": 2, "a": 1})  # the first reason counts
    assert fingerprint({"b", "a", 3}) == fingerprint(frozenset([3, "a", "b"])) != fingerprint(["a", "b", 3])
    assert fingerprint([1], [2]) != fingerprint([1, 2])
    assert fingerprint({"f": (0.5).hex()}) != fingerprint(0.5)
    assert fingerprint("\ud800") != fingerprint("\ud801")


# ------------------------------------------------------------------ what has no identity


class Plain:
    pass


@dataclass(frozen=True)
class Step:
    limit: float = 1.0
    workers: int = field(default=1, metadata={"identity": False})

    def __call__(self, rows):
        return rows

    def method(self):
        return self.limit


@functools.cache
def cached():
    return 1


def closing_over(x):
    return lambda: x


def inner_step():
    @dataclass(frozen=True)
    class Local:
        def __call__(self):
            return 1

    def local():
        return 1

    return Local(), local


@pytest.mark.parametrize(
    "what",
    [
        closing_over(1),
        lambda: 1,
        Path("x"),
        Plain(),
        Step,
        len,
        Step().method,
        functools.partial(step, 1),
        cached,
        *inner_step(),
        1j,
    ],
    ids=lambda what: type(what).__name__,
)
def test_what_has_no_identity_is_refused(what):
    for value in (what, {"a": [what]}, Step(limit=what)):
        with pytest.raises(RecipeError) as caught:
            fingerprint(value)
        assert caught.value.key == "no_identity"


def test_the_refusal_names_the_thing():
    with pytest.raises(RecipeError) as caught:
        fingerprint(Path("/secret/path"))
    assert caught.value.values == {"what": "a path"}
    with pytest.raises(RecipeError) as caught:
        fingerprint(lambda: 1)
    assert "lambda" in caught.value.values["what"]


def test_code_without_a_file_has_no_identity(monkeypatch):
    made = type(sys)("typed_in")
    monkeypatch.setitem(sys.modules, "typed_in", made)
    exec("def step(): return 1", made.__dict__)
    with pytest.raises(RecipeError):
        fingerprint(made.step)


# ------------------------------------------------------------------ steps

BASE = """
    '''A module.'''
    import json
    from helper import clean

    LIMIT = 3
    A, B = 1, 2
    STEPS = {}
    STEPS["x"] = 1
    NAMES: list = []
    NAMES.append("n")
    COUNT = 1
    COUNT += 1
    try:
        import quick
    except ImportError:
        quick = None
    if LIMIT:
        def chosen(): return 1

    UNUSED = 1

    def used(x):
        return x + LIMIT + A + STEPS["x"] + len(NAMES) + COUNT + chosen()

    def unused(x):
        return x

    def step(rows):
        # a comment
        return clean(used(rows)) or json or quick
"""
HELPER = "def clean(x):\n    return x\n"


CHANGES = {
    "constant": ("LIMIT = 3", "LIMIT = 4"),
    "one of two": ("A, B = 1, 2", "A, B = 5, 2"),
    "item": ('STEPS["x"] = 1', 'STEPS["x"] = 2'),
    "append": ('NAMES.append("n")', 'NAMES.append("m")'),
    "increment": ("COUNT += 1", "COUNT += 2"),
    "helper": ("return x + LIMIT", "return x - LIMIT"),
    "optional import": ("quick = None", "quick = 1"),
    "conditional": ("def chosen(): return 1", "def chosen(): return 2"),
    "other library": ("import json", "import math as json"),
    "own body": ("or json", "and json"),
    "literal": ("(used(rows))", "(used(rows), 1)"),
    "argument": ("def step(rows):", "def step(rows=None):"),
}
NO_CHANGES = {
    "comment": ("# a comment", "# another"),
    "docstring": ("def step(rows):", "def step(rows):\n        'What it does.'"),
    "module docstring": ("'''A module.'''", "'''Another.'''"),
    "layout": ("LIMIT = 3", "LIMIT   =   (3)"),
    "unused constant": ("UNUSED = 1", "UNUSED = 2"),
    "unused function": ("return x\n\n    def step", "return -x\n\n    def step"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_step_names_is_its_identity(identity, change):
    before, after = CHANGES[change]
    assert BASE.count(before) == 1
    assert identity(BASE, helper=HELPER) != identity(BASE.replace(before, after), helper=HELPER)


@pytest.mark.parametrize("change", NO_CHANGES)
def test_what_changes_nothing_is_no_part_of_it(identity, change):
    before, after = NO_CHANGES[change]
    assert BASE.count(before) == 1
    assert identity(BASE, helper=HELPER) == identity(BASE.replace(before, after), helper=HELPER)


def test_a_docstring_is_no_part_of_an_imported_module(identity):
    documented = (
        "'''Helps.'''\nclass A:\n    '''A.'''\n    x = 1\ndef clean(x):\n    '''Cleans.'''\n    return x\n"
    )
    bare = "class A:\n    x = 1\ndef clean(x):\n    return x\n"
    assert identity(BASE, helper=documented) == identity(BASE, helper=bare)
    assert identity(BASE, helper=bare) != identity(BASE, helper=bare.replace("x = 1", "x = 2"))


CALL = "def step(x):\n    return clean(x)\n"
IMPORTS = {
    "import": ("import helper\ndef step(x):\n    return helper.clean(x)\n", "helper"),
    "as": ("import helper as h\ndef step(x):\n    return h.clean(x)\n", "helper"),
    "from": ("from helper import clean\n" + CALL, "helper"),
    "star": ("from helper import *\n" + CALL, "helper"),
    "inside": ("def step(x):\n    from helper import clean\n    return clean(x)\n", "helper"),
    "optional": ("try:\n    from helper import clean\nexcept ImportError:\n    pass\n" + CALL, "helper"),
    "package": ("from lib import helper\ndef step(x):\n    return helper.clean(x)\n", "lib/helper"),
    "package, dotted": ("import lib.helper\ndef step(x):\n    return lib.helper.clean(x)\n", "lib/helper"),
    "package itself": ("import lib\ndef step(x):\n    return lib.clean(x)\n", "lib/__init__"),
    "package, inside": ("def step(x):\n    from lib import helper as h\n    return h.x\n", "lib/helper"),
}  # fmt: skip


@pytest.mark.parametrize("how", IMPORTS)
def test_a_module_beside_the_recipe_counts(identity, how):
    recipe, name = IMPORTS[how]
    more = {"lib/__init__": ""} | {name: HELPER}
    assert identity(recipe, **more) == identity(recipe, **more)
    assert identity(recipe, **more) != identity(
        recipe, **more | {name: HELPER.replace("return x", "return -x")}
    )


def test_what_a_module_imports_in_turn_counts(identity):
    recipe = "from lib.a import f\ndef step(x):\n    return f(x)\n"
    files = {
        "lib/__init__": "",
        "lib/a": "from . import b\nfrom .c import g\nfrom .deep import d\ndef f(x):\n    return b.x\n",
        "lib/b": "x = 1\n",
        "lib/c": "from beside import y\ndef g():\n    return y\n",
        "lib/deep/__init__": "",
        "lib/deep/d": "from .. import b\nfrom ..e import z\n",
        "lib/e": "z = 1\n",
        "beside": "import lib.a\ny = 1\n",
    }
    base = identity(recipe, **files)
    for name in ("lib/a", "lib/b", "lib/c", "lib/e", "beside", "lib/deep/d"):
        changed = files | {name: files[name] + "new = 1\n"}
        assert identity(recipe, **changed) != base, name
    assert identity(recipe, **files, stranger="x = 1\n") == base


def test_a_class_counts_with_all_its_methods_and_bases(identity):
    recipe = """
    from dataclasses import dataclass
    class Base:
        def scale(self): return 2
    @dataclass(frozen=True)
    class Step(Base):
        limit: int
        def __call__(self, x): return self.inner(x)
        def inner(self, x): return x * self.scale()
    """

    def of(body, limit=1):
        return identity(body, "Step", lambda made: made(limit))

    assert of(recipe) == of(recipe)
    assert of(recipe) != of(recipe, limit=2)
    assert of(recipe) != of(recipe.replace("x * self", "x + self"))
    assert of(recipe) != of(recipe.replace("return 2", "return 3"))


def test_fields_that_are_no_identity():
    assert fingerprint(Step(workers=8)) == fingerprint(Step()) != fingerprint(Step(limit=2.0))


def test_values_are_their_class_and_fields():
    task = Task(input="a", target="y")
    assert (
        fingerprint(task)
        == fingerprint(Task(input="a", target="y"))
        != fingerprint(Task(input="b", target="y"))
    )
    origin = {"source": "s", "input_maker": "person", "target_maker": "person", "method": "m", "rights": "r"}
    assert fingerprint(Origin(**origin)) != fingerprint(Origin(**origin | {"rights": "x"}))


def test_the_versions_of_the_numerical_parts_count(monkeypatch):
    before = fingerprint(step)
    module.code_identity.cache_clear()
    monkeypatch.setattr(module, "versions", lambda: "numpy=0")
    after = fingerprint(step)
    module.code_identity.cache_clear()
    assert before != after


def test_identity_does_not_depend_on_what_was_imported_before():
    """A resumed turn starts in another process: it must recognise the steps that it left."""
    script = """
    import sys
    for name in sys.argv[1:]:
        __import__(name)
    from bapsim.core.fingerprint import code_identity
    from bapsim.judge.exam import per_item
    from bapsim.store.lake import View
    print(code_identity(per_item), code_identity(View))
    """

    def run(*modules):
        command = [sys.executable, "-c", textwrap.dedent(script), *modules]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert run() == run("pyarrow.parquet", "bapsim.store.project", "bapsim.core.turn")


def test_no_path_of_this_machine_is_part_of_it(identity):
    assert identity(BASE, helper=HELPER) == identity(BASE, helper=HELPER)  # two folders


def test_a_library_counts_itself_but_not_its_neighbours(tmp_path, monkeypatch):
    """A step from an installed package: that package counts, numpy beside it does not."""
    site = tmp_path / "site-packages"

    def identity(neighbour, inner):
        for cache in (module.code_identity, module._tree, module._bindings):
            cache.cache_clear()
        (site / "acme").mkdir(parents=True, exist_ok=True)
        (site / "neighbour.py").write_text(neighbour)
        (site / "acme" / "__init__.py").write_text(
            "from acme.inner import f\ndef step(x):\n    return f(x)\n"
        )
        (site / "acme" / "inner.py").write_text(f"import neighbour\ndef f(x):\n    return {inner}\n")
        monkeypatch.syspath_prepend(site)
        for name in ("acme", "acme.inner", "neighbour"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return code_identity(importlib.import_module("acme").step)

    base = identity("x = 1", "x")
    assert identity("x = 22", "x") == base
    assert identity("x = 1", "x + 1") != base


def test_ours_counts_for_a_recipe(identity, monkeypatch):
    recipe = "from bapsim.judge.exam import right\ndef step(x):\n    return right(x)\n"
    before = identity(recipe)
    seen = {}
    tree = module._tree(Path(importlib.util.find_spec("bapsim.judge.exam").origin).resolve())
    monkeypatch.setattr(module, "_shape", lambda node: seen.setdefault(node, f"s{len(seen)}"))
    identity(recipe)
    assert tree in seen
    assert before
