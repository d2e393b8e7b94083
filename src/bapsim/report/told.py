"""What `new` and `export` say of what they found and wrote: one message a line, at a desk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bapsim.core.errors import text
from bapsim.report.desk import Desk

if TYPE_CHECKING:
    from bapsim.ship.label import Label
    from bapsim.wheel.founding import Found


def say_found(room: Desk, found: Found, root: Path) -> None:
    """What was inferred, what was assumed, and where to change it."""
    from bapsim.report.words import number, reason_text

    rows = number(found.schema.rows)
    encoding = text("new.mixed", room.lang) if found.encoding == "mixed" else found.encoding
    head = "new.folder" if found.kind == "image" else "new.file"
    room.say(head, file=found.file, format=found.format, encoding=encoding, rows=rows)
    if found.schema.unread:
        reasons = ", ".join(
            f"{reason_text('unread', r, room.lang)} ({n:,})" for r, n in found.schema.unread.items()
        )
        key = "new.unread_pictures" if found.kind == "image" else "new.unread"
        room.say(key, lines=number(sum(found.schema.unread.values())), reasons=reasons)
    pool = found.schema.rows - found.labelled
    room.say(f"new.{found.kind}", inputs=some(found.inputs, 8), count=len(found.inputs), target=found.target)
    room.say(
        "new.labelled" if pool else "new.all_labelled", labelled=number(found.labelled), pool=number(pool)
    )
    if found.sheets[1:]:
        room.say("new.sheets", sheet=found.sheets[0], others=some(found.sheets[1:], 8))
    if found.workloads is not None:
        _say_log(room, found, root)
        return
    _say_answer(room, found)
    if found.classes:
        room.say("new.classes", classes=number(len(found.classes)))
    room.table([[label, number(count)] for label, count in list(found.classes.items())[:6]], right=[1])
    if len(found.classes) > 6:
        least, count = list(found.classes.items())[-1]
        room.say("new.more_classes", more=number(len(found.classes) - 6), least=least, count=number(count))
    if found.slips:
        slips = [f"{label!r} ({count:,})" for label, count in found.slips.items()]
        room.say("new.slips", labels=some(slips, 8))
    if found.left_out:
        key = "new.left_out.text" if found.kind == "text" else "new.left_out"
        room.say(key, columns=some(found.left_out, 8), inputs=found.inputs[0])
    _say_odd(room, found)
    room.line()
    if found.guessed:
        room.say("new.guessed", target=found.target)
    room.say("new.people", recipe=str(root / "recipe.py"))
    room.say("new.next", bapsim=f"bapsim -C {root}")


def _say_odd(room: Desk, found: Found) -> None:
    """What has to be known of the data first: its licence, personal data, names of the log's, and the few
    texts in columns of numbers, with what to write into the recipe where they mean no value.
    """
    from bapsim.report.words import number
    from bapsim.wheel.founding import quoted

    if found.licence.file:
        room.say("new.licence", rights=found.rights, file=found.licence.file)
    if found.personal:
        room.say("new.personal", rows=number(found.personal))
    if found.taken:
        room.say("new.taken", columns=some(found.taken, 8))

    for column, strays in found.odd.items():
        said = ", ".join(f"{value!r} ({count:,})" for value, count in strays.items())
        room.say("new.strays", column=column, strays=said)
    if found.odd:
        nulls = dict.fromkeys(quoted(value) for strays in found.odd.values() for value in strays)
        types = ", ".join(f'{quoted(column)}: "float64"' for column in found.odd)
        room.say("new.strays.next", nulls=f"nulls=({', '.join(nulls)},)", types=types)


def _say_answer(room: Desk, found: Found) -> None:
    """What the target was taken to say, where it is not plainly one class."""
    import numpy as np

    from bapsim.report.words import number
    from bapsim.text.targets import NONE, numbers_of

    told = {"target": found.target, "distinct": number(len(found.said))}
    if found.answer == "number":
        values = np.repeat(numbers_of(list(found.said)), list(found.said.values()))
        ends = dict(zip(("least", "median", "most"), np.quantile(values, [0, 0.5, 1]).tolist(), strict=True))
        shown = {name: f"{value:,.10g}" for name, value in ends.items()}
        room.say("new.answer.number", **told, **shown)
    elif found.answer == "labels":
        sets = {"labels": number(len(found.classes)), "sets": told["distinct"]}
        room.say("new.answer.labels", target=found.target, empty=number(found.said.get(NONE, 0)), **sets)
    elif found.numeric and len(found.said) > 2:
        room.say("new.answer.few_numbers", **told)


def _say_log(room: Desk, found: Found, root: Path) -> None:
    """What was taken for a log of a service, and how to begin with it."""
    names = list(found.workloads or {})
    if names[1:]:
        room.say("new.workloads", workload=names[0], others=some(names[1:], 8))
    room.say("new.log", recipe=str(root / "recipe.py"))
    room.line()
    bapsim = f"bapsim -C {root}"
    room.say("new.log_next", input=found.inputs[0], target=found.target, bapsim=bapsim)


def some(names: Sequence[str], most: int) -> str:
    """The first names, and that there are more."""
    return ", ".join(names[:most]) + (" …" if len(names) > most else "")


def say_exported(room: Desk, label: Label, out: Path) -> None:
    """What was written and what stayed behind; what is dangerous about it stands out."""
    from bapsim.report.words import number
    from bapsim.ship.card import unknown_command

    splits = ", ".join(f"{split.name} {number(split.rows)}" for split in label.splits)
    files = number(sum(len(split.files) for split in label.splits))
    room.say("export.done", rows=number(label.rows), files=files, splits=splits)
    if label.other_rights:
        room.say("export.other_rights", rows=number(label.other_rights))
    if label.columns_left_out:
        room.say("export.columns_left_out", columns=some(label.columns_left_out, 8))
    moved = [c.name for one in label.columns.values() for c in one if c.about and c.name != c.about]
    if moved:
        room.say("export.renamed", columns=some(list(dict.fromkeys(moved)), 8))
    if label.lost:
        room.say("export.lost", values=number(label.lost))
    if label.unknown_rights:
        options = unknown_command(label)
        key = "export.unknown_rights" if options else "export.all_unknown_rights"
        said = text(key, room.lang, rows=number(label.unknown_rights), options=options)
        room.line(click.style(said, fg="red", bold=True))
    exam = [split.rows for split in label.splits if split.state == "exam"]
    if exam:
        room.say("export.exam", rows=number(exam[0]))
    if any(split.state in ("refused", "superseded") for split in label.splits):
        room.say("export.aside")
    room.say("export.card", path=str(out / "README.md"))


def say_preview(room: Desk, said: dict[str, Any]) -> None:
    """What a turn would read, without running it."""
    from bapsim.report.words import number

    room.say("preview.resumes" if said["resumes"] else "preview.turn", turn=said["turn"])
    for name, one in said["sources"].items():
        if one is None:
            room.say("preview.not_run", source=name)
        else:
            key = "preview.asks" if "requests" in one else "preview.source"
            said_of = {k: number(v) if isinstance(v, int) else v or "-" for k, v in one.items()}
            room.say(key, source=name, **said_of)
            if one.get("left") is not None:
                room.say("preview.ceiling", left=one["left"])
    exam = said["exam"]
    if exam["items"]:
        level = f"{exam['level']:.4f}"
        room.say("preview.exam", items=number(exam["items"]), looks=exam["looks"], level=level)
    else:
        room.say("preview.no_exam")
    room.say("preview.nothing")


def say_shipped(room: Desk, said: dict[str, Any]) -> None:
    """What was written for a device, and what the gate said of it."""
    from bapsim.ship.edge_card import verdict

    if said["written"] is None:
        room.say("ship.refused", why=verdict(said, room.lang))
    else:
        sizes, measured = said["bytes"], said["measured"]
        head = sum(size for name, size in sizes.items() if name.startswith("head."))
        figures = {name: f"{measured[key]:.2f}" for name, key in (("p50", "p50_ms"), ("p95", "p95_ms"))}
        figures |= {"batch": f"{measured['batch32_ms_per_row']:.2f}", "peak": f"{measured['peak_mb']:.0f}"}
        total = f"{sizes['total']:,}"
        room.say("ship.done", path=said["written"], bytes=total, head=f"{head:,}", **figures)
        room.line(verdict(said, room.lang))
    look = said["look"]
    if look["reason"] == "looked":
        key = "ship.look_again" if look["again"] else "ship.look"
        room.say(key, spent=f"{look['spent']:.4f}", budget=f"{look['budget']:.4f}")
    if said["written"] is not None:
        asked = {"table": "ROWS", "image": "FILES"}.get(said["kind"], "TEXTS")
        room.say("ship.next", path=said["written"], asked=asked)
