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
from types import ModuleType
from typing import Any

from bapsim.core.errors import RecipeError

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
    module = sys.modules[step.__module__]
    seen: dict[str, str] = {}
    name = step.__qualname__.split(".")[0]
    _definitions(module, name, seen)
    body = json.dumps([sorted(seen.items()), versions()])
    return f"{step.__module__}.{step.__qualname__}:{digest(body.encode())}"


def _definitions(module: ModuleType, name: str, seen: dict[str, str]) -> None:
    """Adds the tree of one module-level name, and of what it names in turn, to `seen`."""
    place = f"{module.__name__}.{name}"
    tree = _bindings(module).get(name)
    if tree is None or place in seen:
        return
    seen[place] = _shape(tree)
    if isinstance(tree, ast.Import | ast.ImportFrom):
        _imported(module, tree, seen)
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            _definitions(module, node.id, seen)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _imported(module, node, seen)


def _imported(module: ModuleType, node: ast.Import | ast.ImportFrom, seen: dict[str, str]) -> None:
    for name in _names(module, node):
        if name in seen or not _first_party(name, module):
            continue
        found = sys.modules.get(name) or importlib.import_module(name)
        seen[name] = _shape(_tree(found))
        for inner in ast.walk(_tree(found)):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                _imported(found, inner, seen)


def _names(module: ModuleType, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules that an import statement reaches; `from package import module` counts as module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        package = (module.__package__ or "").rsplit(".", node.level - 1)[0] if node.level > 1 else None
        base = ".".join(p for p in (package or module.__package__ or "", base) if p)
    for alias in node.names:
        inner = f"{base}.{alias.name}"
        yield inner if inner in sys.modules else base


def _first_party(name: str, by: ModuleType) -> bool:
    """Ours, or a file that lies beside the module that imports it (a recipe's own helpers)."""
    if name.split(".", maxsplit=1)[0] == "bapsim":
        return True
    found, here = sys.modules.get(name), getattr(by, "__file__", None)
    there = getattr(found, "__file__", None)
    return bool(here and there) and Path(str(there)).parent == Path(str(here)).parent


@functools.cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(inspect.getsource(module))


@functools.cache
def _bindings(module: ModuleType) -> dict[str, ast.stmt]:
    """Module-level names and the statement that makes each."""
    found: dict[str, ast.stmt] = {}
    for node in _tree(module).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                found[node.name] = node
            case ast.Import() | ast.ImportFrom():
                found |= {(a.asname or a.name).split(".")[0]: node for a in node.names}
            case ast.Assign():
                found |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
            case ast.AnnAssign() if isinstance(node.target, ast.Name):
                found[node.target.id] = node
    return found


def _shape(tree: ast.AST) -> str:
    """A digest of a syntax tree without positions, comments and docstrings."""
    bare = ast.parse(ast.unparse(tree))
    for node in ast.walk(bare):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body[0] = ast.Pass()
    return digest(ast.dump(bare).encode())


def _is_docstring(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
