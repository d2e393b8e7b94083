"""Models on disk: folders name/version/kind, written whole or not at all; never pickle.

`model.json` in a folder names the function that loads it: one of bapsim's, or one in the recipe's folder.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import json
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bapsim.core.errors import Damaged, RecipeError
from bapsim.core.recipe import Model
from bapsim.store import fault

Loader = Callable[[Path], Model]
_IMPORTING = threading.RLock()  # a recipe may load a model, whose file is imported too


def save(folder: Path, write: Callable[[Path], object]) -> str:
    """Let `write` fill a new folder, then put it in its place; returns the folder's digest."""
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write(temporary)
    for path in sorted(temporary.rglob("*")):
        fault.sync(path)
    fault.sync(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    fault.rename(temporary, folder)
    return folder_digest(folder)


def folder_digest(folder: Path) -> str:
    """sha256 over the names and contents of all files of a folder."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def load(folder: Path, beside: Path | None = None) -> Model:
    """The model of a folder; `beside` is the folder of the recipe, whose loaders are trusted too."""
    about = folder / "model.json"
    try:
        named = str(json.loads(about.read_text("utf-8"))["loader"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged("unreadable_model", path=str(folder)) from error
    module, _, function = named.partition(":")
    loader = getattr(_module(module, beside, named), function, None)
    if not inspect.isfunction(loader) or loader.__module__ != module:
        raise RecipeError("unknown_loader", loader=named)
    return cast("Loader", loader)(folder)


def _module(name: str, beside: Path | None, named: str) -> ModuleType:
    """Only bapsim's own modules and files beside the recipe: a model file may not name what it likes."""
    if name.split(".", maxsplit=1)[0] == "bapsim":
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise RecipeError("unknown_loader", loader=named) from error
    path = beside / f"{name}.py" if beside is not None and name.isidentifier() else None
    if path is None or not path.is_file():
        raise RecipeError("unknown_loader", loader=named)
    return import_file(path)


def import_file(path: Path) -> ModuleType:
    """A Python file as a module of its own name; its folder's other files can be imported from it."""
    with _IMPORTING:  # another thread must not find half of it
        return _imported(path)


def _imported(path: Path) -> ModuleType:
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and Path(str(getattr(known, "__file__", ""))) == path.resolve():
        return known
    beside = str(path.resolve().parent)
    if beside not in sys.path:
        sys.path.append(beside)  # last: a user's random.py must not stand in for the library's
    spec: Any = importlib.util.spec_from_file_location(name, path.resolve())
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # half a module would pass for the whole one at the next attempt
        raise
    return module
