"""How a verb speaks: in words or as one JSON object, in the language asked for, with errors that help."""

from __future__ import annotations

import json
import os
import re
import shutil
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bapsim.core.errors import BapsimError, InputError, RecipeError, text

if TYPE_CHECKING:
    from bapsim.core.recipe import Recipe
    from bapsim.store.project import Project

LANGUAGES = ("en", "ko")
WIDEST = 100  # columns; longer lines are hard to read
OWN_VERB = re.compile(
    r"\bbapsim(?= (?:add|turn|ask|show|why|use|check|people|predict|serve|watch|export|ship)\b)"
)  # in what to type next
UNBROKEN = "\N{NO-BREAK SPACE}"


def locale_language() -> str:
    """`ko` where the environment asks for Korean, else `en`."""
    said = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "ko" if next((one for one in said if one), "").lower().startswith("ko") else "en"


@dataclass
class Desk:
    """Where a verb works and how it speaks: set by the options that every verb has."""

    folder: Path = Path()
    lang: str = "en"
    as_json: bool = False

    def say(self, key: str, **values: object) -> None:
        """One message on stdout, wrapped to the terminal; silent under --json."""
        self.line(text(key, self.lang, **values))

    def line(self, said: str = "", *, first: str = "", rest: str = "") -> None:
        from bapsim.report.terminal import plain, wrapped

        if not self.as_json:
            for part in said.split("\n"):
                said = wrapped(typed(plain(part)), columns(), first=first, rest=rest)
                click.echo(said.replace(UNBROKEN, " "))

    def table(self, rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        from bapsim.report.terminal import clipped, plain, table

        if not self.as_json and rows:
            cells = [[plain(cell) for cell in row] for row in rows]
            click.echo("\n".join(clipped(one, columns()) for one in table(cells, right=right).split("\n")))

    def pairs(self, lines: Sequence[tuple[str, str]]) -> None:
        """Headings at the left, their words beside them."""
        from bapsim.report.terminal import width

        wide = max((width(head) for head, _ in lines), default=0)
        for head, body in lines:
            self.line(body, first=head + " " * (wide - width(head) + 2), rest=" " * (wide + 2))

    def progress(self, step: str, **values: Any) -> None:
        """One line on stderr while a turn runs; silent under --json."""
        if not self.as_json and step != "done":
            shown = {k: f"{v:,}" if isinstance(v, int) else v for k, v in values.items()}
            if "unread" in shown:
                from bapsim.report.words import reason_text

                shown["unread"] = reason_text("unread", shown["unread"], self.lang)
            said = text(f"progress.{step}", self.lang, **shown)
            with suppress(OSError):  # who reads along may go: that is no reason to end a turn
                click.echo(click.style(f"  {said}", dim=True), err=True)

    @property
    def called(self) -> str:
        """How to call the program again for the same project."""
        return "bapsim" if self.folder == Path() else f"bapsim -C {self.folder}"

    def recipe(self) -> Recipe:
        from bapsim.wheel.founding import load_recipe

        return load_recipe(self.folder)

    @contextmanager
    def project(self, *, writing: bool) -> Iterator[Project]:
        from bapsim.store.project import opened

        with opened(self.folder, writing=writing) as project:
            yield project


def columns() -> int:
    """Columns of the terminal that are worth using; COLUMNS in the environment is obeyed."""
    wide = shutil.get_terminal_size().columns
    return wide if "COLUMNS" in os.environ else min(wide, WIDEST)


def typed(said: str) -> str:
    """What stands between backticks is to be typed: bold instead, and not broken over two lines."""
    parts = said.split("`")
    if len(parts) % 2 == 0:
        return said
    marked = (click.style(p.replace(" ", UNBROKEN), bold=True) if i % 2 else p for i, p in enumerate(parts))
    return "".join(marked)


def desk(context: click.Context | None = None) -> Desk:
    """The desk of the command that runs."""
    found: Desk = (context or click.get_current_context()).find_root().ensure_object(Desk)
    return found


def _set(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value not in (None, False):
        setattr(desk(context), str(parameter.name), value)


def as_ours(error: Exception) -> BapsimError:
    """Any error as one for people: what the system refuses, and faults of ours or of a user's step."""
    if isinstance(error, BapsimError):
        return error
    if isinstance(error, OSError):
        return InputError("os", why=error.strerror or str(error), path=str(error.filename or "-"))
    if os.environ.get("BAPSIM_TRACE"):
        traceback.print_exception(error)
    return RecipeError("unexpected", kind=type(error).__name__, why=str(error))


def complain(room: Desk, error: BapsimError) -> None:
    """What happened in red, then why it matters and what to type next; one JSON object under --json."""
    from bapsim.report.terminal import plain, wrapped

    said = OWN_VERB.sub(room.called, error.say(room.lang)) if room.folder != Path() else error.say(room.lang)
    what, *more = (plain(part) for part in said.split("\n") if part)
    if room.as_json:
        parts = dict(zip(("what", "why", "next"), [what, *more], strict=False))
        click.echo(json.dumps({"error": {"key": error.key, **parts}}, ensure_ascii=False))
        return
    click.echo(click.style(wrapped(what, columns()), fg="red"), err=True)
    for part in more:
        more_said = wrapped(typed(part), columns(), first="  ", rest="  ")
        click.echo(more_said.replace(UNBROKEN, " "), err=True)


def in_language(said: str, lang: str) -> str:
    """The frame that click puts around our help; its words stand at the beginnings of lines, or alone."""
    for word in ("usage", "options", "commands", "help", "version"):
        said = said.replace(text(f"click.{word}", "en"), text(f"click.{word}", lang))
    return said


class Verb(click.Command):
    """A verb whose help is in the language that is asked for."""

    def get_help(self, ctx: click.Context) -> str:
        return in_language(super().get_help(ctx), desk(ctx).lang)


class Verbs(click.Group):
    """A group whose errors are words, and whose help is in the language that is asked for."""

    command_class = Verb

    def get_help(self, ctx: click.Context) -> str:
        return in_language(super().get_help(ctx), desk(ctx).lang)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use, not of the alphabet

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asked = next((args[i + 1] for i, a in enumerate(args[:-1]) if a == "--lang"), locale_language())
        desk(ctx).lang = asked if asked in LANGUAGES else "en"
        desk(ctx).as_json = "--json" in args  # an error of typing is an object, too
        speak(self, desk(ctx).lang)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BapsimError as error:
            complain(desk(ctx), error)
        except BrokenPipeError:
            raise  # `bapsim show | head`: click ends it quietly
        except OSError as error:
            complain(desk(ctx), as_ours(error))
        except KeyboardInterrupt:
            click.echo(text("cli.stopped", desk(ctx).lang), err=True)
            ctx.exit(130)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "bapsim"
            complain(desk(ctx), InputError("usage", why=error.format_message(), command=command))
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:  # noqa: BLE001  a fault of ours or of a user's step: said, not thrown
            complain(desk(ctx), as_ours(error))
        ctx.exit(2)


def speak(group: click.Group, lang: str) -> None:
    """Set the help of all verbs and their options in one language."""
    group.help = text("help", lang)
    for parameter in group.params:
        _help(parameter, "help.option", lang)
    for name, command in group.commands.items():
        command.help = text(f"help.{name}", lang)
        command.short_help = command.help.split("\n", maxsplit=1)[0]
        for parameter in command.params:
            own = parameter.name not in ("folder", "as_json", "lang")
            _help(parameter, f"help.{name}" if own else "help.option", lang)


def _help(parameter: click.Parameter, prefix: str, lang: str) -> None:
    if isinstance(parameter, click.Option) and parameter.name not in ("help", "version"):
        parameter.help = text(f"{prefix}.{parameter.name}", lang)


# the options of every verb
SHARED = (
    click.option("-C", "folder", metavar="DIR", type=Path, expose_value=False, callback=_set),
    click.option("--json", "as_json", is_flag=True, expose_value=False, callback=_set),
    click.option("--lang", type=click.Choice(LANGUAGES), expose_value=False, callback=_set),
)
