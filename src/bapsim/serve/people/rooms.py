"""What the rooms of one worker share: the project, the database, keys, who watches."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from bapsim.core.errors import StoreError
from bapsim.serve.people.database import Database, url_of
from bapsim.serve.people.events import Hub
from bapsim.serve.people.names import hashed
from bapsim.serve.people.tables import about
from bapsim.store import fault
from bapsim.store.sealing import Keys
from bapsim.wheel.lesson_process import Lessons

if TYPE_CHECKING:
    from bapsim.serve.people.doors import Door
    from bapsim.serve.people.streams import Channel


def folder_of(root: Path) -> Path:
    """Where the rooms of a project keep what nobody else reads."""
    return root / "people"


def is_open(root: Path) -> bool:
    """Whether the project has rooms."""
    return (folder_of(root) / "key").is_file()


def key_of(root: Path) -> bytes:
    """The key of hashes and of the audit log, made at first use (0600)."""
    path = folder_of(root) / "key"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        temporary = path.with_name(f"key.{secrets.token_hex(4)}.tmp")
        temporary.touch(0o600, exist_ok=False)
        temporary.write_bytes(secrets.token_bytes(32))
        fault.sync(temporary)
        with contextlib.suppress(FileExistsError):  # another process was first
            path.hardlink_to(temporary)
        temporary.unlink()
        fault.sync(path.parent)
    return path.read_bytes()


@dataclass(frozen=True, kw_only=True, eq=False)
class Rooms:
    """secure: whether the service speaks TLS; key: of hashes and of the audit log; lessons: what answers
    would change, in a process of their own that begins with the first question; trouble: tasks beside the
    requests that fail, and how; tasks: what requests left to be done; ending: set when the service ends.
    """

    root: Path
    key: bytes
    database: Database
    hub: Hub
    keys: Keys
    lessons: Lessons
    secure: bool
    doors: tuple[Door, ...] = ()
    channels: tuple[Channel, ...] = ()
    trouble: dict[str, str] = field(default_factory=dict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def folder(self) -> Path:
        return folder_of(self.root)

    @property
    def title(self) -> str:
        return self.root.resolve().name or "bapsim"

    @cached_property
    def name(self) -> str:
        """What tells this project from others, and nothing else about it."""
        return hashed(self.key.hex())[:16]


def database_of(root: Path) -> Database:
    """The service database of a project, open. Raises StoreError where it cannot be reached, or is another
    project's.
    """
    key, url = key_of(root), url_of(root)
    path = folder_of(root) / "people.sqlite"
    if sa.make_url(url).database == str(path.resolve()):
        path.touch(0o600)
    database = Database(url)
    database.open()
    try:
        database.change(lambda c: _claim(c, hashed(key.hex())[:16]))
    except BaseException:
        database.close()
        raise
    return database


def _claim(connection: sa.Connection, name: str) -> None:
    """Write down whose database this is; people of two projects must not meet in one."""
    found = connection.execute(sa.select(about.c.value).where(about.c.key == "project")).scalar()
    if found is None:
        connection.execute(about.insert().values(key="project", value=name))
    elif found != name:
        raise StoreError("people_database_other")


def rooms_of(
    root: Path,
    *,
    secure: bool = False,
    doors: tuple[Door, ...] = (),
    channels: tuple[Channel, ...] = (),
) -> Rooms:
    """The rooms of a project with their database open; raises StoreError where it cannot be."""
    key, database = key_of(root), database_of(root)
    return Rooms(
        root=root,
        key=key,
        database=database,
        hub=Hub(database),
        keys=Keys(folder_of(root) / "keys"),
        lessons=Lessons(root),
        secure=secure,
        doors=doors,
        channels=channels,
    )
