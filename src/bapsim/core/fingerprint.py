"""Identity: what a value, a step or a recipe is, as sixteen hex digits.

Literals and code are identity; paths, devices and worker counts are not (fields marked `identity=False`).
A step is a top-level function or a frozen dataclass with `__call__`; its identity is the syntax tree of its
definition, of every definition in its module that it names, and of every first-party module that it imports.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from bapsim.core.errors import RecipeError

OURS = Path(__file__).resolve().parents[2]
VERSIONS = ("numpy", "scikit-learn", "pyarrow")  # their results are part of what a step does


def fingerprint(*values: object) -> str:
    """Sixteen hex digits of blake2b over the canonical JSON of the values.

    Raises RecipeError for what has no identity: a closure, a lambda, a path, an object without fields.
    """
    body = json.dumps(_canon(list(values)), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return digest(body.encode("utf-8", "surrogatepass"))


def digest(body: bytes) -> str:
    """Sixteen hex digits of one byte string."""
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def _canon(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return {"f": value.hex()}
        case bytes():
            return {"b": value.hex()}
        case Mapping():
            return {"m": [[_canon(k), _canon(v)] for k, v in value.items()]}
        case list() | tuple():
            return [_canon(v) for v in value]
        case set() | frozenset():
            return {"s": sorted(json.dumps(_canon(v), sort_keys=True) for v in value)}
    if is_dataclass(value) and not isinstance(value, type):
        return _instance(value)
    if inspect.isfunction(value) and value.__closure__ is None and "<" not in value.__qualname__:
        return {"step": code_identity(value)}
    what = "a path" if isinstance(value, Path) else getattr(value, "__qualname__", repr(value))
    raise RecipeError("no_identity", what=what)


def _instance(value: Any) -> Any:
    cls: Any = type(value)
    said = {f.name: _canon(getattr(value, f.name)) for f in fields(value) if f.metadata.get("identity", True)}
    return {"step": code_identity(cls) if callable(value) else cls.__qualname__, "fields": said}


@functools.cache
def versions() -> str:
    """The versions of the numerical parts, as one text."""
    return " ".join(f"{name}={importlib.metadata.version(name)}" for name in VERSIONS)


@functools.cache
def code_identity(step: Any) -> str:
    """The name of a function or class with a digest of all first-party code that it reaches."""
    file = getattr(sys.modules[step.__module__], "__file__", None)
    if file is None or "<locals>" in step.__qualname__:
        raise RecipeError("no_identity", what=step.__qualname__)
    path = Path(file).resolve()
    root = path.parents[step.__module__.count(".") + (path.name == "__init__.py")]
    seen: dict[str, str] = {}
    _definitions(path, root, step.__qualname__.split(".")[0], seen)
    body = json.dumps([sorted(seen.items()), versions()])
    return f"{step.__module__}.{step.__qualname__}:{digest(body.encode())}"


def _definitions(path: Path, root: Path, name: str, seen: dict[str, str]) -> None:
    """Adds what makes one module-level name, and what that names in turn, to `seen`."""
    bound, place = _bindings(path), f"{_place(path, root)}:{name}"
    made = bound.get(name) or bound.get("*", [])
    if not made or place in seen:
        return
    seen[place] = " ".join(_shape(statement) for statement in made)
    for node in (node for statement in made for node in ast.walk(statement)):
        if isinstance(node, ast.Name):
            _definitions(path, root, node.id, seen)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _imported(path, root, node, seen)


def _imported(path: Path, root: Path, node: ast.Import | ast.ImportFrom, seen: dict[str, str]) -> None:
    for found in _files(path, root, node):
        place = _place(found, root)
        if place not in seen:
            seen[place] = _shape(_tree(found))
            for inner in ast.walk(_tree(found)):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    _imported(found, root, inner, seen)


def _place(path: Path, root: Path) -> str:
    """A path as an identity: from the folder that a module name starts at, never absolute."""
    return path.relative_to(root if path.is_relative_to(root) else OURS).as_posix()


def _files(path: Path, root: Path, node: ast.Import | ast.ImportFrom) -> Iterator[Path]:
    """The first-party files that an import in `path` reaches, imported yet or not."""
    base = ([node.module] if node.module else []) if isinstance(node, ast.ImportFrom) else []
    for alias in node.names:
        home = path.parents[node.level - 1] if isinstance(node, ast.ImportFrom) and node.level else None
        parts = ".".join([*base, alias.name]).split(".")
        tries = [parts, parts[:-1]] if isinstance(node, ast.ImportFrom) else [parts]
        home = home or _home(parts[0], path, root)
        places = [home.joinpath(*said) for said in tries] if home is not None else []
        files = [file for at in places for file in (at.with_name(f"{at.name}.py"), at / "__init__.py")]
        yield from [file for file in files if file.is_file()][:1]


def _home(top: str, path: Path, root: Path) -> Path | None:
    """Where a first-party package lies: with us, or beside the recipe; a library may only import itself."""
    if top == "bapsim":
        return OURS
    library = root == OURS or root.name.endswith("-packages")
    return root if not library or path.is_relative_to(root / top) else None


@functools.cache
def _tree(path: Path) -> ast.Module:
    """The syntax tree of a file without docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.body and ast.get_docstring(node, clean=False) is not None:
                node.body[0] = ast.Pass()
            node.body = [one for one in node.body if not isinstance(one, ast.Pass)]
    return tree


@functools.cache
def _bindings(path: Path) -> dict[str, list[ast.stmt]]:
    """Module-level names, each with the statements that make or may change it."""
    found: dict[str, list[ast.stmt]] = {}
    for node in _tree(path).body:
        for name in _bound(node):
            found.setdefault(name, []).append(node)
    return found


def _bound(node: ast.AST) -> set[str]:
    """The names that a statement makes or may change: `LIMITS["a"] = 1` and `STEPS.append(x)` count."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Import() | ast.ImportFrom():
            return {(a.asname or a.name).split(".")[0] for a in node.names}
        case ast.Name():
            return {node.id}
        case ast.Assign():
            return set().union(*map(_bound, node.targets))
        case ast.AnnAssign() | ast.AugAssign():
            return _bound(node.target)
    return set().union(*map(_bound, ast.iter_child_nodes(node)))


def forget() -> None:
    """Read code anew: a file of it was rewritten."""
    for known in (code_identity, _tree, _bindings):
        known.cache_clear()


@functools.cache
def _shape(tree: ast.AST) -> str:
    """A digest of a syntax tree: positions, comments and docstrings are no part of it."""
    return digest(ast.dump(tree).encode("utf-8", "surrogatepass"))
