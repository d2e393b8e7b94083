"""The verbs: each parses, calls the wheel, and prints words or one JSON object.

Exit codes: 0 done; 1 `check` found something; 2 an error that says what, why and what to type next;
130 stopped from the keyboard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from bapsim.cli.group import main, verb
from bapsim.core.errors import BapsimError, InputError, Waiting, text
from bapsim.report.desk import Desk, columns, desk
from bapsim.report.told import say_exported, say_found, say_preview, some

if TYPE_CHECKING:
    from bapsim.core.records import Task
    from bapsim.mods import Money
    from bapsim.report.words import Story
    from bapsim.wheel.inbox import Added

COLOURS = {"accept": "green", "refuse": "red", "undecided": "yellow"}
LISTED = 20  # rows of a list that are told in words


# --------------------------------------------------------------------------- audit, new, add


def _want(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Collects what a user says of columns."""
    context.meta.setdefault("wanted", {})[parameter.name] = value


def _listed(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    names = tuple(name.strip() for name in (value or "").split(",") if name.strip())
    _want(context, parameter, names)


@verb(
    click.argument("files", metavar="FILE...", type=Path, nargs=-1, required=True),
    click.option("--target", metavar="COLUMN", expose_value=False, callback=_want),
    click.option("--text", metavar="COLUMN", expose_value=False, callback=_want),
    click.option("--input", "inputs", metavar="A,B,C", expose_value=False, callback=_listed),
    click.option(
        "--answer", type=click.Choice(("class", "labels", "number")), expose_value=False, callback=_want
    ),
    click.option("--split", metavar="COLUMN"),
    click.option("-o", "out", metavar="PAGE.html", type=Path),
    click.option("--suspects", metavar="SHEET.xlsx", type=Path),
)
def _audit(
    files: tuple[Path, ...], split: str | None, out: Path | None, suspects: Path | None
) -> dict[str, Any]:
    from bapsim.report.audit_page import findings, headline, introduction, write_page
    from bapsim.wheel.auditing import audit, write_suspects
    from bapsim.wheel.founding import Wanted

    room = desk()
    facts = audit(files, Wanted(**click.get_current_context().meta["wanted"]), split, room.progress)
    page = out if out is not None else Path(f"{files[0].name}.audit.html")
    write_page(page, facts, room.lang)
    room.line(headline(facts, room.lang))
    for said in introduction(facts, room.lang):
        room.line(said, first="  ", rest="  ")
    found = findings(facts, room.lang)
    room.table([[text(f"audit.{one.name}", room.lang), one.count] for one in found if one.count], right=[1])
    todo = [one.do for one in found if one.do]
    for number, said in enumerate(todo, 1):
        room.line(said, first=f"  {number}. ", rest="     ")
    room.say("audit.page", path=str(page))
    if suspects is not None:
        room.say("audit.sheet", rows=write_suspects(suspects, facts), path=str(suspects))
    return facts | {"page": str(page)}


@verb(
    click.argument("project", metavar="DIR", type=Path),
    click.option("--from", "source", metavar="FILE", type=Path, required=True),
    click.option("--text", metavar="COLUMN", expose_value=False, callback=_want),
    click.option("--input", "inputs", metavar="A,B,C", expose_value=False, callback=_listed),
    click.option("--target", metavar="COLUMN", expose_value=False, callback=_want),
    click.option("--group", metavar="COLUMN", expose_value=False, callback=_want),
    click.option("--time", metavar="COLUMN", expose_value=False, callback=_want),
    click.option("--slice", "slices", metavar="COLUMN", multiple=True, expose_value=False, callback=_want),
    click.option("--key", metavar="COLUMN", expose_value=False, callback=_want),
    click.option(
        "--answer", type=click.Choice(("class", "labels", "number")), expose_value=False, callback=_want
    ),
)
def _new(project: Path, source: Path) -> dict[str, Any]:
    from bapsim.wheel.founding import Wanted, found_project, look_into
    from bapsim.wheel.pictures import are_pictures, look_into_folder

    wanted = Wanted(**click.get_current_context().meta["wanted"])
    if wanted.text is not None and wanted.inputs:
        raise InputError("text_and_input")
    room, root = desk(), desk().folder / project
    look = look_into_folder if source.is_dir() and are_pictures(source) else look_into
    found = found_project(root, source, wanted, room.lang, look)
    say_found(room, found, root)
    return {
        "project": str(root),
        "format": found.format,
        "encoding": found.encoding,
        "rows": found.schema.rows,
        "unread": dict(found.schema.unread),
        "kind": found.kind,
        "input": list(found.inputs),
        "target": found.target,
        "answer": found.answer,
        "types": found.types,
        "labelled": found.labelled,
        "pool": found.schema.rows - found.labelled,
        "classes": found.classes,
        "left_out": list(found.left_out),
        "slips": found.slips,
        "strays": found.odd,
        "personal": found.personal,
        "rights": found.rights,
        "sheets": list(found.sheets),
        "workloads": found.workloads,
    }


@verb(
    click.argument("files", metavar="FILE...", type=Path, nargs=-1, required=True),
    click.option("--cost", metavar="'240000 KRW'"),
)
def _add(files: tuple[Path, ...], cost: str | None) -> dict[str, Any]:
    from bapsim.mods import money
    from bapsim.report.words import number, reason_text
    from bapsim.wheel.inbox import SHOWN, add_file
    from bapsim.wheel.pictures import add_pictures, are_pictures

    room = desk()
    recipe = room.recipe()
    if cost is not None and len(files) > 1:
        raise InputError("cost_of_several", files=len(files))
    paid = None if cost is None else money(cost)  # before anything is copied
    done = []
    for file in files:
        pictures = recipe.task.kind == "image" and are_pictures(file)
        one = (
            add_pictures(room.folder, file, recipe.task) if pictures else add_file(room.folder, file, recipe)
        )
        strange = _strange(room, recipe.task, one)
        done.append(asdict(one) | {"missing": list(one.missing), "new_labels": strange})
        key = f"add.{one.kind}" if one.new else "add.again"
        room.say(key, file=one.file, path=one.path, rows=number(one.rows), blanks=number(one.blanks))
        for reason, lines in one.unread.items():
            known = [one if isinstance(one, str) else number(one) for one in one.places[reason]]
            places = some(known, SHOWN) + " …" * (lines > SHOWN)
            said = reason_text("unread", reason, room.lang)
            key = "add.unread_pictures" if pictures else "add.unread"
            room.say(key, lines=number(lines), reason=said, places=places)
        if strange:
            labels = some([f"{label} ({count:,})" for label, count in strange.items()], 8)
            key = "add.no_numbers" if recipe.task.answer == "number" else "add.labels"
            room.say(key, labels=labels, path=str(room.folder / one.path))
        if one.missing:
            room.say("add.missing", columns=some(one.missing, 8))
    if paid is not None:
        _pay(room, done[0], paid)
    if any(one["new"] for one in done):
        room.say("add.next", bapsim=room.called)
    return {"added": done}


def _pay(room: Desk, added: dict[str, Any], paid: Money) -> None:
    """The cost of a file, told and written down beside it."""
    from bapsim.wheel.costs import pay_for

    with room.project(writing=True) as project:
        new = pay_for(project, str(added["path"]).removeprefix("inbox/"), paid)
    added["cost"] = {"minor": paid.minor, "currency": paid.currency, "new": new}
    room.say("add.cost", amount=paid.amount, currency=paid.currency, path=added["path"])


def _strange(room: Desk, task: Task, one: Added) -> dict[str, int]:
    """Labels in a sheet of answers that no record has: slips of the hand, or new ones; of numbers, what is
    none, and what lies far from all that records have.
    """
    if not one.labels or one.kind == "pictures":
        return one.labels
    from bapsim.wheel.sheet import known_labels, odd_numbers

    with room.project(writing=False) as project:
        if task.answer == "number":
            return odd_numbers(project, task, one.labels)
        known = set(known_labels(project, task))
    return {label: count for label, count in one.labels.items() if label not in known}


# --------------------------------------------------------------------------- turn, show


@verb(
    click.option("--incumbent", metavar="FILE|URL"),
    click.option("--apply", is_flag=True),
    click.option("--dry-run", is_flag=True),
)
def _turn(incumbent: str | None, apply: bool, dry_run: bool) -> dict[str, Any]:
    from bapsim.report.ahead import say_applied
    from bapsim.report.facts import facts
    from bapsim.report.page import write_missing, write_report
    from bapsim.serve import release
    from bapsim.wheel import predict
    from bapsim.wheel.pay_costs import keep_costs
    from bapsim.wheel.preview import preview
    from bapsim.wheel.state import stop
    from bapsim.wheel.turn import run_turn

    room = desk()
    done = say_applied(room) if apply and not dry_run else None
    recipe = room.recipe()
    beat = None if incumbent is None else predict.incumbent(recipe, incumbent)
    with room.project(writing=True) as project:
        if dry_run:
            said = preview(project, recipe)
            say_preview(room, said)
            return {"dry_run": True, **said}
        write_missing(project, room.lang)
        if beat is not None:
            predict.covers(project, recipe, beat)
        try:
            summary = run_turn(project, recipe, incumbent=beat, say=room.progress)
        except BapsimError as error:
            if not isinstance(error, Waiting):  # then the dialogue goes on in this very turn
                stop(project)
            raise
        keep_costs(project, recipe)
        page = write_report(project, summary["turn"], room.lang)
        said = facts(project, summary["turn"])
        said |= {"fixed": release.settle(project.root, said["duel"])}
        say_story(room, said)
        room.say("turn.report", path=str(page))
        return said | {"report": str(page), **({"applied": done} if done is not None else {})}


def say_story(room: Desk, said: dict[str, Any]) -> None:
    """The decision in plain words, then what to type next."""
    from bapsim.report.ahead import worth
    from bapsim.report.terminal import plain, wrapped
    from bapsim.report.words import story

    if room.as_json:
        return
    told: Story = story(said, room.lang, room.called)
    word, colon, rest = told.headline.partition(":")
    colour = COLOURS[said["decision"]["verdict"]]
    click.echo()
    click.echo(wrapped(click.style(word + colon, fg=colour, bold=True) + plain(rest), columns()))
    for sentence in [*told.sentences, *(worth(said["forecast"], room.lang) if "forecast" in said else ())]:
        room.line(sentence, first="  ", rest="  ")
    click.echo()
    for step in told.next:
        room.line(step, first="→ ", rest="  ")


@verb(
    click.option("--turn", "number", metavar="N", type=int),
    click.option("--list", "which", type=click.Choice(("unread", "refused"))),
    click.option("--worth", "source", metavar="SOURCE"),
    click.option("--worth-next", "more", metavar="ROWS", type=click.IntRange(0)),
)
def _show(number: int | None, which: str | None, source: str | None, more: int | None) -> dict[str, Any]:
    from bapsim.report.ahead import say_worth, say_worth_next

    if which is not None:
        return _list(which)
    if more is not None:
        return say_worth_next(desk(), more)
    return _tell(number) if source is None else say_worth(desk(), source)


def _list(which: str) -> dict[str, Any]:
    """Lines that are no records, or refused rows: the first of them in words, all of them as JSON."""
    from bapsim.report.words import number, reason_text
    from bapsim.wheel.listing import refused, unread

    room = desk()
    recipe = room.recipe()
    with room.project(writing=False) as project:
        found = unread(project) if which == "unread" else list(refused(project, recipe))
    kind = "unread" if which == "unread" else "verdict"
    for one in found[:LISTED]:
        reason = reason_text(kind, one["reason"], room.lang)
        if which == "unread":
            place = f"{one['file']}:{one['line']}" if one["line"] else one["file"]  # line 0 is the whole file
            room.line(
                f"{place}  {reason}" + (f" ({one['detail']})" if one["detail"] else ""),
                rest="    ",
            )
        else:
            room.line(f"{one['id'][:8]}  {reason}  {_shortly(one)}", rest="    ")
    more = len(found) > LISTED
    room.say("show.more" if more else "show.list", count=number(len(found)), shown=LISTED)
    return {which: found}


def _shortly(one: dict[str, Any]) -> str:
    """The input and target of a record on one line."""
    said = " ".join(str(one["input"]).split())
    said = said if len(said) <= 60 else said[:59] + "…"
    return f"{said} → {one['target']}" if one["target"] is not None else said


def _tell(number: int | None) -> dict[str, Any]:
    from bapsim.report.facts import facts, serving
    from bapsim.report.fused import over_turns
    from bapsim.report.page import gain_in_words, write_report
    from bapsim.report.paid import BRIEF, table
    from bapsim.report.words import held_out_in_words
    from bapsim.report.words import number as count

    room = desk()
    with room.project(writing=True) as project:
        begun = project.ledger.value("select n from turn where state='open'")
        if begun is not None and project.ledger.value("select 1 from turn where state='done'") is None:
            raise InputError("turn_open", turn=begun)
        said = facts(project, number)
        page = write_report(project, said["turn"], room.lang)
        now = serving(project.ledger)
    names = ("turn", "verdict", "gain", "rows", "oof")
    end = ".number" if said["answer"] == "number" else ""
    heads = [text(f"show.{n}{end if n in ('gain', 'oof') else ''}", room.lang) for n in names]
    rows = [heads]
    for one in said["curve"]:
        word = text(f"verdict_word.{one['verdict']}", room.lang)
        held = held_out_in_words(one)
        rows.append([str(one["turn"]), word, gain_in_words(one), count(one["train_rows"]), held])
    room.table(rows, right=[0, 3, 4])
    if made := over_turns(said, room.lang):
        room.line()
        room.say("show.made")
        room.table(made, right=range(len(made[0])))
    say_story(room, said)
    if "people" in said:
        room.table(table(said["people"], room.lang, BRIEF))
    if now is not None and said["serves"] is not None and now["version"] != said["serves"]["version"]:
        room.say("show.now", version=now["version"], reason=now["reason"])
    room.say("turn.report", path=str(page))
    if begun is not None:
        room.say("show.open", turn=begun, bapsim=room.called)
    return said | {"report": str(page), "serves_now": now, "interrupted": begun}


# --------------------------------------------------------------------------- why, use, check, predict


@verb(click.argument("what", metavar="RECORD|MODEL"))
def _why(what: str) -> dict[str, Any]:
    from bapsim.report.why import model_lines, record_lines
    from bapsim.wheel.audit import why_model, why_record
    from bapsim.wheel.listing import MOST, found, is_record
    from bapsim.wheel.setting_aside import eaten_in_quarantine

    room = desk()
    recipe = room.recipe()
    with room.project(writing=False) as project:
        if project.ledger.value("select 1 from model where version=?", what):
            said = why_model(project, what)
            said["quarantined"] = eaten_in_quarantine(project, recipe, what)
            room.pairs(list(model_lines(said, room.lang)))
            return said
        hits = found(project, recipe, what)
        if not is_record(what) and not hits:
            versions = [
                row["version"] for row in project.ledger.rows("select version from model order by rowid")
            ]
            raise InputError("nothing_found", said=what, known=", ".join(versions) or "-")
        if len(hits) > 1:
            for one in hits[:LISTED]:
                stands = text(f"account.{one['stands']}", room.lang)
                room.line(f"{one['id'][:8]}  {stands}  {_shortly(one)}", rest="    ")
            least = "+" if len(hits) == MOST else ""
            room.say("why.several", count=f"{len(hits)}{least}", bapsim=room.called)
            return {"found": hits}
        said = why_record(project, recipe, hits[0]["id"] if hits else what)
    room.pairs(list(record_lines(said, room.lang)))
    for kin in ("ancestors", "descendants"):
        _say_kin(room, kin, said[kin])
    return said


def _say_kin(room: Desk, name: str, said: dict[str, Any]) -> None:
    """A heading with what there is in all, and the tree below it."""
    from bapsim.report.kin import summary, tree

    if said["count"]:
        room.line()
        room.line(f"{text(f'kin.{name}', room.lang)}: {summary(said, room.lang)}")
        for one in tree(said, room.lang):
            room.line(one.said, first=f"  {one.first}", rest=f"  {one.rest}")


@verb(
    click.argument("version", metavar="NAME"),
    click.option("--reason", required=True, metavar="TEXT"),
    click.option("--quarantine", "aside", is_flag=True),
    click.option("--by", metavar="NAME", default="owner"),
)
def _use(version: str, reason: str, aside: bool, by: str) -> dict[str, Any]:
    from bapsim.report.kin import say_put_aside, say_released
    from bapsim.wheel.quarantine import meant
    from bapsim.wheel.setting_aside import put_aside, release
    from bapsim.wheel.using import use

    room = desk()
    with room.project(writing=True) as project:
        if aside:
            said = put_aside(project, room.recipe(), version, reason, by)
            say_put_aside(room, said)
            return said
        if meant(project.ledger, version) is not None:
            said = release(project, room.recipe(), version, reason, by)
            say_released(room, said)
            return said
        said = use(project, version, reason)
    if "delivery" in said:
        room.say("use.delivery", name=version, bapsim=room.called)
    else:
        room.say("use.done" if said["before"] != version else "use.same", version=version)
    return said


@verb(click.option("--head", metavar="'SEQ MAC'"))
def _check(head: str | None) -> dict[str, Any]:
    from bapsim.report.page import STATES
    from bapsim.report.words import number
    from bapsim.wheel.audit import check

    room = desk()
    recipe = room.recipe()
    with room.project(writing=False) as project:
        said = check(project, recipe, head)
    for one in said["findings"]:
        room.say(f"finding.{one['kind']}", where=one["where"])
    if said["in_doubt"]:
        room.say("check.in_doubt", dialogues=", ".join(said["in_doubt"]))
    if said["ok"]:
        counts = said["accounts"]
        room.say("check.ok", lines=number(counts["lines"]))
        states = [(text(f"account.{name}", room.lang), counts[name]) for name in STATES]
        rows = [[label, number(count)] for label, count in states]
        room.table(rows, right=[1])
    else:
        room.say("check.damaged", findings=len(said["findings"]))
    room.say("check.head", head=said["head"])
    return said


@verb(
    click.argument("file", type=Path),
    click.option("-o", "out", metavar="OUT.jsonl|OUT.csv", type=Path, required=True),
    click.option("--keep", metavar="A,B,C"),
)
def _predict(file: Path, out: Path, keep: str | None) -> dict[str, Any]:
    from bapsim.report.words import number
    from bapsim.wheel.predict import predict_file

    room = desk()
    recipe = room.recipe()
    with room.project(writing=False) as project:
        names = [name.strip() for name in (keep or "").split(",") if name.strip()]
        done = predict_file(project, recipe, file, out, names)
    room.say("predict.done", lines=number(done.lines), path=str(out), version=done.version)
    if done.unread:
        room.say("predict.unread", unread=number(done.unread))
    return {**asdict(done), "out": str(out)}


# --------------------------------------------------------------------------- export, demo


@verb(
    click.argument("out", metavar="OUT_DIR", type=Path),
    click.option("--format", "form", type=click.Choice(("parquet", "jsonl")), default="parquet"),
    click.option(
        "--what",
        multiple=True,
        type=click.Choice(("trained", "exam", "pool", "pending", "refused", "superseded", "all")),
    ),
    click.option("--rights", multiple=True, metavar="NAME"),
    click.option("--columns", type=click.Choice(("task", "all")), default="task"),
    click.option("--certificates/--no-certificates", default=True),
    click.option("--delivery", metavar="SOURCE", default=""),
)
def _export(
    out: Path,
    form: Literal["parquet", "jsonl"],
    what: tuple[str, ...],
    rights: tuple[str, ...],
    columns: str,
    certificates: bool,
    delivery: str,
) -> dict[str, Any]:
    from bapsim.ship.label import SPLITS
    from bapsim.ship.release import Wanted
    from bapsim.wheel.exporting import export

    room = desk()
    recipe = room.recipe()
    if delivery and what:
        raise InputError("delivery_what", source=delivery, what=", ".join(what))
    states = {} if not what else {"states": tuple(SPLITS) if "all" in what else what}
    wanted = Wanted(
        form=form,
        rights=rights,
        all_columns=columns == "all",
        certificates=certificates,
        source=delivery,
        **states,
    )
    with room.project(writing=False) as project:
        label = export(project, recipe, wanted, out, room.lang)
    say_exported(room, label, out)
    if delivery:
        room.say("export.certificate", path=str(out / "certificate.json"))
    return {
        "out": str(out),
        "turn": label.turn,
        "splits": {split.name: split.rows for split in label.splits},
        "files": [file.path for split in label.splits for file in split.files],
        "left_out": dict(label.left_out),
        "other_rights": label.other_rights,
        "unknown_rights": label.unknown_rights,
        "columns_left_out": list(label.columns_left_out),
        "lost": label.lost,
    }


@verb(click.argument("place", metavar="[DIR]", type=Path, default=Path("demo")))
def _demo(place: Path) -> dict[str, Any]:
    from bapsim.demo import three_turns

    room = desk()
    done = three_turns(room.folder / place, _typed_by_demo, _told_by_demo)
    room.line()
    room.say("turn.report", path=done["report"])
    return done


def _told_by_demo(key: str, **values: object) -> None:
    """What is staged, set off from what the verbs print."""
    room = desk()
    room.line()
    room.line(text(key, room.lang, **values), first="│ ", rest="│ ")


def _typed_by_demo(words: Sequence[str]) -> dict[str, Any]:
    """Type a verb as a person would: shown, then run; returns what --json prints."""
    room = desk()
    room.line()
    room.line(f"`$ bapsim {' '.join(words)}`")
    command = main.commands[words[2] if words[0] == "-C" else words[0]]
    rest = list(words[3:] if words[0] == "-C" else words[1:])
    here = room.folder
    try:
        room.folder = Path(words[1]) if words[0] == "-C" else here
        with command.make_context(command.name, rest, parent=click.get_current_context().parent) as context:
            said: dict[str, Any] = command.invoke(context)
    finally:
        room.folder = here
    return said
