"""The verb `people`: open the rooms of a project, and print a one-time link for its owner."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import click

from bapsim.cli.group import verb
from bapsim.cli.serving import PARTS
from bapsim.core.errors import InputError, MissingExtra
from bapsim.report.desk import Desk, desk

NEEDED = (*PARTS, "sqlalchemy", "argon2")


@verb(
    click.option("--database", metavar="URL"),
    click.option("--url", metavar="URL"),
    click.option("--phrase", metavar="URL|off"),
    click.option("--model", metavar="NAME"),
)
def _people(database: str | None, url: str | None, phrase: str | None, model: str | None) -> dict[str, Any]:
    missing = [part for part in NEEDED if importlib.util.find_spec(part) is None]
    if missing:
        raise MissingExtra("no_serve_extra", missing=", ".join(missing))
    from bapsim.serve.people.founding import owner_link
    from bapsim.serve.people.rooms import folder_of, key_of
    from bapsim.wheel.peopling import LINE, take_up

    room = desk()
    recipe = room.recipe()  # there is a project
    key_of(room.folder)
    if database is not None:
        _remember(folder_of(room.folder) / "database", database)
    if phrase is not None:
        _phrased(room, phrase, model)
    token = owner_link(room.folder, room.lang)
    link = f"{_address(room, url)}/people/in/{token}"
    room.say("people_verb.link", link=link)
    changed = take_up(room.folder, recipe)
    if changed is None:
        room.say("people_verb.by_hand", line=LINE)
    elif changed:
        room.say("people_verb.recipe")
        if not room.as_json:
            click.echo(changed, nl=False)  # as it is: a wrapped diff is none
    room.say("people_verb.next", bapsim=room.called)
    return {"link": link, "recipe": changed}


def _phrased(room: Desk, url: str, model: str | None) -> None:
    """Let a language model phrase the questions of the room, or none any more."""
    from bapsim.serve.people.room_phrasing import KEY, set_endpoint

    if url != "off" and not model:
        raise InputError("phrase_model")
    set_endpoint(room.folder, "" if url == "off" else url, model or "")
    room.say("people_verb.phrase_off" if url == "off" else "people_verb.phrase", url=url, variable=KEY)


def _remember(path: Path, url: str) -> None:
    """The URL may hold a password: nobody else reads the file."""
    from bapsim.serve.people.database import engine_of

    engine_of(url, writes=False)  # raises where it is none
    handle = os.open(path.with_suffix(".tmp"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(url + "\n")
    path.with_suffix(".tmp").replace(path)


def _address(room: Desk, url: str | None) -> str:
    """Where the rooms are: as said, as the service last said, or where it is by default."""
    from bapsim.serve.people.rooms import folder_of

    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise InputError("people_address", url=url)
        return url.rstrip("/")
    told = folder_of(room.folder) / "address"
    return told.read_text("utf-8").strip() if told.is_file() else "http://127.0.0.1:8000"
