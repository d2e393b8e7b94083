"""The open questions as files that people fill in: a workbook, CSV or JSONL, or pictures with a page."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bapsim.core.errors import InputError
from bapsim.core.recipe import Recipe
from bapsim.gather.answers import Sheet, write_questions
from bapsim.report.contact import write_asked
from bapsim.store.project import Project
from bapsim.wheel.sheet import open_questions


class Written(NamedTuple):
    """Where the labels that are known are listed, and the page with the pictures, if there are any."""

    labels: Path
    page: Path | None


def the_sheet(project: Project, recipe: Recipe, only: Sequence[bytes] | None = None) -> Sheet:
    """What is worth asking, or these questions only, with what the recipe tells people of each label."""
    return replace(open_questions(project, recipe.task, only), guideline=recipe.guideline)


def write_sheet(out: Path, sheet: Sheet, kind: str, lang: str) -> Written:
    """Write the questions; raises InputError where the file is there already, or its folder is not."""
    if out.exists():
        raise InputError("file_exists", path=str(out))
    if not out.absolute().parent.is_dir():
        raise InputError("no_such_folder", path=str(out.parent))
    if kind != "image":
        return Written(write_questions(out, sheet), None)
    page = write_asked(out, sheet, lang)
    return Written(out if out.suffix == ".xlsx" else out.with_suffix(".classes.txt"), page)


def next_sheet(project: Project, recipe: Recipe, n: int, lang: str) -> Path | None:
    """The questions of turn n, the last one, as a sheet in questions/, once; None where there are none."""
    sheet = the_sheet(project, recipe)
    place = project.root / "questions" / f"turn-{n:03d}.xlsx"
    if not sheet.ids:
        return None
    place.parent.mkdir(exist_ok=True)
    if not place.exists():  # pictures without their sheet are of one that was killed
        for half in (place.with_suffix(""), *place.parent.glob(f".{place.stem}.*.tmp")):
            shutil.rmtree(half, ignore_errors=True)
        write_sheet(place, sheet, recipe.task.kind, lang)
    return place
