"""A new project: what a file holds, what follows from it, and the recipe that says so."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError, RecipeError, text
from bapsim.core.recipe import Recipe
from bapsim.core.records import Answer, Task
from bapsim.gather import folder_rights
from bapsim.gather.columnar import is_dataset
from bapsim.gather.infer import NUMERIC, SPLITS, Column, Schema, guess_answer, infer
from bapsim.gather.read import PARQUET, WORKBOOKS, read, suffix
from bapsim.gather.service import first_workload, names_of_the_log, schema_of, workloads
from bapsim.gather.types import written
from bapsim.gather.unpack import detect, shown
from bapsim.gather.workbook import sheets
from bapsim.store import fault
from bapsim.store.artifacts import import_file
from bapsim.text.pii import scrub_columns
from bapsim.text.targets import label_set, number_of
from bapsim.text.targets import written as in_one_form
from bapsim.wheel.slips import slips_of

MOST_CLASSES = 1000
FEWEST = 20  # rows, of which each has another text in one column: a code, which teaches nothing
# how the types begin that a table model reads
TRAINABLE = ["string", "int", "uint", "float", "halffloat", "bool", "date", "time"]
WIDTH = 106
SERVED = '        "served": service("service/", rights="own"),'
STEPS = {  # trainer, the survey of copies, its threshold
    "text": ("text_linear", "near_duplicates", ""),
    "table": ("table_boosted", "exact_duplicates", ""),
    "image": ("image_linear", "near_duplicates", "0.95"),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user said of the columns; the rest is inferred."""

    target: str | None = None
    text: str | None = None
    inputs: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    slices: tuple[str, ...] = ()
    key: str | None = None
    answer: Answer | None = None

    @property
    def named(self) -> tuple[str, ...]:
        one = (self.target, self.text, self.group, self.time, self.key)
        return tuple(c for c in (*one, *self.inputs, *self.slices) if c is not None)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a file holds: format, encoding, labels with their counts, and which column plays which part.

    classes: of sets, each label by itself; of numbers, none; said: the written targets with their counts;
    left_out: columns that a table model cannot read, or that it could where a text was guessed; odd: texts
    that alone keep a column from being numbers; sheets: of a workbook, those with rows, the one that is read
    first; workloads: of a service log, with their counts, the one that is read first; personal: rows whose
    inputs hold personal data that has a form; licence: what lies beside the file says of it.
    """

    file: str
    format: str
    encoding: str
    schema: Schema
    kind: Literal["text", "table", "image"]
    inputs: tuple[str, ...]
    target: str
    wanted: Wanted
    answer: Answer
    classes: dict[str, int]
    said: dict[str, int]
    left_out: tuple[str, ...]
    sheets: tuple[str, ...] = ()
    workloads: Mapping[str, int] | None = None
    personal: int = 0
    licence: folder_rights.Found = field(default=folder_rights.Found(folder_rights.UNKNOWN))

    @property
    def labelled(self) -> int:
        return sum(self.said.values())

    @property
    def rights(self) -> str:
        """The licence that was found beside the file; where nothing speaks of one, it is the user's own."""
        return self.licence.rights if self.licence.file else "own"

    @property
    def numeric(self) -> bool:
        """Whether the target's column holds numbers, whatever they are taken for."""
        return NUMERIC.fullmatch(self.schema.types.get(self.target, "")) is not None

    @property
    def guessed(self) -> bool:
        """Whether the user left it to be guessed what is to be said."""
        return self.wanted.target is None

    @property
    def slips(self) -> dict[str, int]:
        return slips_of(self.classes)

    @property
    def taken(self) -> list[str]:
        """Columns that are called like columns of the service's log, which cannot be read beside them."""
        return names_of_the_log(Task(input=self.inputs, target=self.target, kind=self.kind))

    @property
    def odd(self) -> dict[str, dict[str, int]]:
        return {c.name: dict(c.strays) for c in self.schema.columns if c.strays and c.name in self.inputs}

    @property
    def types(self) -> dict[str, str]:
        """The types of the columns that play a part; labels are text, or lists of it."""
        wanted = self.wanted
        if self.kind == "image":
            return {}
        parts = [*self.inputs, *wanted.slices, wanted.group, wanted.time, wanted.key]
        named = {name: self.schema.types[name] for name in parts if name is not None}
        if self.kind == "text":
            named |= dict.fromkeys(self.inputs, "string")
        target = self.schema.types[self.target]
        listed = target.startswith("list<") and self.answer == "labels"
        kind = target if listed else "float64" if self.answer == "number" else "string"
        return named | {self.target: kind}


def look_at(files: Sequence[Path], wanted: Wanted) -> tuple[Schema, str | None]:
    """The columns of files that are read together, and the one that holds labels, if one is named or found.

    Raises InputError where a file cannot be read or a named column is not there.
    """
    schema = infer(chunk for file in files for chunk in read(file))
    if not schema.rows:
        unread = sum(schema.unread.values())
        raise InputError("nothing_to_read", file=shown(files[0].name), unread=unread)
    names = list(schema.types)
    _all_there(wanted, names)
    target = wanted.target or schema.target
    if target is not None and target in (wanted.text, *wanted.inputs):
        raise InputError("target_is_input", target=shown(target))
    return schema, target


def look_into(file: Path, wanted: Wanted) -> Found:
    """Read a whole file and say what it holds.

    Raises InputError where it cannot be read, a named column is not there, or nothing can be told apart.
    """
    log = workloads(file)
    if log is not None:
        return _look_into_log(file, wanted, log)
    schema, target = look_at([file], wanted)
    if target is None:
        raise InputError("no_target_found", known=_listed(list(schema.types)))
    texts = _count_labels(file, target)
    answer = wanted.answer or guess_answer(schema.types[target], texts)
    said = _in_one_form(texts, answer)
    classes = _classes(said, answer)
    _targets_make_sense(target, said, classes, answer, schema)
    kind, inputs, left_out = inputs_of(schema, wanted, target)
    form, encoding = _format(file)
    return Found(
        file=file.name,
        format=form,
        encoding=encoding,
        schema=schema,
        kind=kind,
        inputs=inputs,
        target=target,
        wanted=wanted,
        answer=answer,
        classes=classes,
        said=said,
        left_out=left_out,
        sheets=tuple(sheets(file)) if suffix(file) in WORKBOOKS else (),
        personal=sum(int((scrub_columns(chunk.rows, inputs)[1] > 0).sum()) for chunk in read(file)),
        licence=folder_rights.FolderRights(file.parent).of(file),
    )


def _look_into_log(file: Path, wanted: Wanted, found: dict[str, int]) -> Found:
    """A service log: its rows are the source's, and have no labels but where people corrected it."""
    task = Task(input=wanted.text or "text", target=wanted.target or "label")
    _all_there(wanted, task.columns)
    return Found(
        file=file.name,
        format="log",
        encoding=detect(file),
        schema=schema_of(file, task, first_workload(found)),
        kind="text",
        inputs=task.inputs,
        target=task.target,
        wanted=wanted,
        answer=wanted.answer or "class",
        classes={},
        said={},
        left_out=(),
        workloads=found,
    )


def _all_there(wanted: Wanted, names: Sequence[str]) -> None:
    if absent := [name for name in wanted.named if name not in names]:
        raise InputError("no_such_column", columns=_listed(absent), known=_listed(names))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:40]))


def _count_labels(file: Path, target: str) -> dict[str, int]:
    """How often each label stands there, most frequent first; blank cells are no labels."""
    counts: Counter[str] = Counter()
    for chunk in read(file):
        if target in chunk.rows.schema.names:
            said = strings(written(chunk.rows.column(target)))
            counts.update(label for label in said if label is not None and label.strip())
    return _most_first(counts)


def _most_first(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _in_one_form(texts: Mapping[str, int], answer: Answer) -> dict[str, int]:
    """Targets as records will have them; what is no number stays, to be complained of."""
    counts: Counter[str] = Counter()
    for said, count in zip(in_one_form(pa.array(list(texts)), answer), texts.values(), strict=True):
        if said is not None:
            counts[said] += count
    return _most_first(counts)


def _classes(said: Mapping[str, int], answer: Answer) -> dict[str, int]:
    """How often each label stands there by itself."""
    if answer == "class":
        return dict(said)
    counts: Counter[str] = Counter()
    for one, count in said.items() if answer == "labels" else ():
        counts.update(dict.fromkeys(label_set(one), count))
    return _most_first(counts)


def _targets_make_sense(
    target: str, said: Mapping[str, int], classes: Mapping[str, int], answer: Answer, schema: Schema
) -> None:
    labelled = sum(said.values())
    if len(said) < 2:
        raise InputError("one_label", target=shown(target), rows=labelled, known=_listed(list(schema.types)))
    odd = [one for one in said if np.isnan(number_of(one))] if answer == "number" else []
    if odd:
        raise InputError("not_numbers", target=shown(target), strays=_listed(odd[:5]))
    if len(classes) > MOST_CLASSES or (labelled >= 40 and len(classes) > labelled // 2):
        raise InputError(
            "not_classes", target=shown(target), distinct=f"{len(classes):,}", rows=f"{labelled:,}"
        )


def inputs_of(
    schema: Schema, wanted: Wanted, target: str | None
) -> tuple[Literal["text", "table"], tuple[str, ...], tuple[str, ...]]:
    """Text or table, which columns are read, and which are not: beside a guessed text those that could be."""
    if wanted.text is not None:
        return "text", (wanted.text,), ()
    if not wanted.inputs and schema.text not in (None, target):
        column = next(c for c in schema.columns if c.name == schema.text)
        if _is_prose(column):
            rest = replace(schema, text=None, columns=tuple(c for c in schema.columns if c is not column))
            others, _ = _readable(rest, wanted, target)
            named = {*wanted.slices, *(c for c in others if c.lower() in SPLITS)}
            return "text", (column.name,), tuple(c for c in others if c not in named)
    chosen, left_out = _readable(schema, wanted, target)
    if not chosen:
        raise InputError("no_input_found", known=_listed(list(schema.types)))
    return "table", chosen, left_out


def _readable(schema: Schema, wanted: Wanted, target: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns with no other part that a table model reads, and those that it cannot."""
    aside = {target, wanted.group, wanted.time, wanted.key, *([] if wanted.inputs else [schema.id])}
    names = [c for c in wanted.inputs or schema.types if c not in aside]
    codes = {
        c.name
        for c in schema.columns
        if c.unique and c.type == "string" and c.rows >= FEWEST and not c.strays
    }
    read_by = {
        c: any(schema.types[c].startswith(t) for t in TRAINABLE) and (c in wanted.inputs or c not in codes)
        for c in names
    }
    return tuple(c for c in names if read_by[c]), tuple(c for c in names if not read_by[c])


def _is_prose(column: Column) -> bool:
    """Text that people wrote, not a category: long, and mostly different."""
    return column.mean >= 12 and column.distinct > 0.3 * min(column.filled, 10_000)


def _format(file: Path) -> tuple[str, str]:
    if is_dataset(file):
        return "datasets", "arrow"
    form = suffix(file)
    if form in WORKBOOKS:
        return form.lstrip("."), "xml"
    return form.lstrip("."), "parquet" if form in PARQUET else detect(file)


# --------------------------------------------------------------------------- the folder


def found_project(
    root: Path, file: Path, wanted: Wanted, lang: str, look: Callable[[Path, Wanted], Found] = look_into
) -> Found:
    """Make a project in a new folder: the file in its inbox, and a recipe to read; all of it or nothing.

    Raises InputError where something is there already.
    """
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError("folder_not_empty", path=shown(root))
    found = look(file, wanted)
    root.parent.mkdir(parents=True, exist_ok=True)
    temporary = root.with_name(f".{root.name}.{os.getpid()}.tmp")
    try:
        for name in ("data", "answers", *(["log"] if found.workloads is not None else [])):
            (temporary / "inbox" / name).mkdir(parents=True)
        data = temporary / "inbox" / ("data" if found.workloads is None else "log")
        if found.kind == "image":  # its sub-folders are the classes
            (temporary / "inbox" / "pool").mkdir()
            shutil.copytree(file, data, symlinks=True, dirs_exist_ok=True)
        else:
            copy = shutil.copytree if file.is_dir() else shutil.copyfile
            copy(file, data / file.name)
        (temporary / "recipe.py").write_text(recipe_text(found, root.resolve().name, lang), "utf-8")
        fault.sync(temporary / "recipe.py")
        fault.rename(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return found


def load_recipe(root: Path) -> Recipe:
    """The recipe of a project; raises RecipeError where its file fails or holds none."""
    path = root / "recipe.py"
    if not path.is_file():
        raise InputError("no_project", path=shown(root.resolve()))
    try:
        recipe = getattr(import_file(path), "recipe", None)
    except SyntaxError as error:
        raise RecipeError("recipe_syntax", line=error.lineno, why=error.msg) from error
    except (ImportError, NameError, TypeError, AttributeError, ValueError) as error:
        raise RecipeError("recipe_fails", line=_line(error, path), why=str(error)) from error
    if not isinstance(recipe, Recipe):
        raise RecipeError("no_recipe", path=shown(path))
    return recipe


def _line(error: BaseException, path: Path) -> int:
    """The last line of the recipe that the error passed through."""
    found, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path.resolve()):
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


# --------------------------------------------------------------------------- the recipe


def recipe_text(found: Found, name: str, lang: str) -> str:
    """The recipe as Python with comments that say what to change and why."""
    train, copies, limit = STEPS[found.kind]
    values = {
        "name": _comment(name),
        "file": _comment(found.file),
        "rows": f"{found.schema.rows:,}",
        "labelled": f"{found.labelled:,}",
        "classes": len(found.classes),
    }
    said = {
        key: text(f"recipe.{key}", lang, **values)
        for key in ("title", "task", "data", "pictures", "pool", "served", "checks", "ask", "gate")
    }
    if found.answer != "class":
        said["task"] = text(f"recipe.task.{found.answer}", lang, **values)
    metric = "mean_absolute_error" if found.answer == "number" else "accuracy"
    lines = [
        f'"""{said["title"]}"""',
        "",
        "from bapsim.compose.asking import worth_asking",
        "from bapsim.compose.plan import exam",
        "from bapsim.core.recipe import Recipe",
        "from bapsim.core.records import Task",
        "from bapsim.gather.answers import answers",
        f"from bapsim.gather.{'folder import folder' if found.kind == 'image' else 'files import files'}",
        *_service_import(found),
        f"from bapsim.judge.exam import {', '.join(sorted((metric, 'per_item')))}",
        "from bapsim.judge.gate import paired",
        f"from bapsim.refine.duplicates import {copies}",
        "from bapsim.refine.label_errors import label_errors",
        "from bapsim.refine.schema import schema",
        f"from bapsim.train.{found.kind} import {train}",
        "",
        *_named_inputs(found),
        "recipe = Recipe(",
        f"    # {said['task']}",
        *_task(found),
        "    sources={",
        *_log(found, lang),
        *(_folders(said) if found.kind == "image" else [f"        # {said['data']}", *_files(found, lang)]),
        '        "experts": answers("answers/", rights="own"),',
        *([] if found.taken else [f"        # {said['served']}", SERVED]),
        "    },",
        f"    # {said['checks']}",
        '    checks={"schema": schema()},',
        f'    surveys={{"copies": {copies}({limit}), "labels": label_errors()}},',
        f"    # {said['ask']}",
        "    questions=worth_asking(budget=200, exam_share=0.2),",
        f"    train={train}(),",
        f"    # {said['gate']}",
        f"    judge=per_item(), metric={metric}, gate=paired(), exam=exam(),",
        ")",
    ]
    return "\n".join(lines) + "\n"


def _service_import(found: Found) -> list[str]:
    names = "service" if found.workloads is None else "OPENAI, service"
    return [] if found.taken and found.workloads is None else [f"from bapsim.gather.service import {names}"]


def _comment(said: str) -> str:
    """A name that cannot end a comment or a docstring."""
    return shown(said).replace("\\", "/").replace('"', "'")


def quoted(value: str) -> str:
    """A text as Python source, between double quotes where that needs no escapes."""
    said = repr(value)
    return '"' + said[1:-1] + '"' if said[0] == "'" and '"' not in said else said


def _tuple(names: Sequence[str]) -> str:
    return "(" + ", ".join(map(quoted, names)) + ("," if len(names) == 1 else "") + ")"


def _many(found: Found) -> bool:
    return len(_tuple(found.inputs)) > 70


def _named_inputs(found: Found) -> Iterator[str]:
    """A long list of columns stands above the recipe."""
    if not _many(found):
        return
    first = found.inputs[0].rstrip("0123456789")
    number = found.inputs[0][len(first) :]
    start = int(number) if 0 < len(number) < 10 else -1
    end = start + len(found.inputs)
    if found.inputs == tuple(f"{first}{i}" for i in range(start, end)) and first.isidentifier():
        yield f'INPUTS = tuple(f"{first}{{i}}" for i in range({start}, {end}))'
        yield ""
        return
    plain = all(
        name.split() == [name] and name.isprintable() and not set(name) & {"\\", '"'} for name in found.inputs
    )
    yield 'INPUTS = tuple("""' if plain else "INPUTS = ("
    yield from _packed(found.inputs if plain else [f"{quoted(name)}," for name in found.inputs], 4)
    yield '""".split())' if plain else ")"
    yield ""


def _packed(items: Sequence[str], indent: int) -> Iterator[str]:
    """As many items a line as fit, a blank between them; an item is never broken."""
    line = ""
    for item in items:
        if line and indent + len(line) + 1 + len(item) > WIDTH:
            yield " " * indent + line
            line = ""
        line = f"{line} {item}" if line else item
    if line:
        yield " " * indent + line


def _task(found: Found) -> Iterator[str]:
    wanted = found.wanted
    parts = [f"input={'INPUTS' if _many(found) else _input(found)}", f"target={quoted(found.target)}"]
    if found.kind != "text":
        parts.append(f'kind="{found.kind}"')
    if found.answer != "class":
        parts.append(f'answer="{found.answer}"')
    parts += [f"{k}={quoted(v)}" for k, v in (("group", wanted.group), ("time", wanted.time)) if v]
    parts += [f"slices={_tuple(wanted.slices)}"] if wanted.slices else []
    yield f"    task=Task({', '.join(parts)}),"


def _input(found: Found) -> str:
    return _tuple(found.inputs) if found.kind == "table" else quoted(found.inputs[0])


def _folders(said: Mapping[str, str]) -> Iterator[str]:
    yield f"        # {said['pictures']}"
    yield '        "pictures": folder("data/", maker="person", rights="own"),'
    yield f"        # {said['pool']}"
    yield '        "pool": folder("pool/", labelled=False, maker="person", rights="own"),'


def _log(found: Found, lang: str) -> Iterator[str]:
    if found.workloads is None:
        return
    where = "".join(
        f", where={{{quoted(k)}: {quoted(v)}}}" for k, v in first_workload(found.workloads).items()
    )
    yield f"        # {text('recipe.log', lang)}"
    yield f'        "service": service("log/", rights="unknown"{where}),'


def _files(found: Found, lang: str) -> Iterator[str]:
    key = f" key={quoted(found.wanted.key)}," if found.wanted.key else ""
    line = f'            "data/", maker="person", rights={quoted(found.rights)},{key}'
    if not key and found.schema.id is not None:
        hint = f"  # {text('recipe.key', lang, key=_comment(f'key={quoted(found.schema.id)}'))}"
        line += hint if len(line + hint) <= WIDTH else ""
    yield '        "data": files('
    yield line
    yield from _packed(_types(found), 12)
    yield "        ),"


def _types(found: Found) -> list[str]:
    """Types by column; many columns of one type together."""
    types, most = found.types, ""
    if _many(found):
        most = Counter(types[name] for name in found.inputs).most_common(1)[0][0]
        types = {n: t for n, t in types.items() if t != most or n not in found.inputs}
    start = f"dict.fromkeys(INPUTS, {quoted(most)}) | {{" if most else "{"
    pairs = [f"{quoted(name)}: {quoted(kind)}," for name, kind in types.items()]
    pairs[-1] = pairs[-1].removesuffix(",") + "},"
    return [f"types={start}{pairs[0]}", *pairs[1:]]
