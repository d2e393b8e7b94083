"""What a worker does beside its requests: follow the release, tell how it goes, delete what may go.

Twice a second it looks whether another model is to serve, loads it in a thread, and only then puts the new
lineup in the place of the old one. A model that cannot be loaded, or does not answer, never replaces one that
does: the release is rolled back, and /health says why.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bapsim.core.errors import BapsimError, InputError
from bapsim.serve import release
from bapsim.serve.lineup import Lineup, Player, player
from bapsim.serve.models import served
from bapsim.serve.release import Release
from bapsim.serve.retention import retire
from bapsim.serve.serving import Service
from bapsim.serve.trial import Trial

EACH = 0.5  # seconds between two looks at the release
TOLD = 1.0  # seconds between two writings of what was seen
SWEPT = 600.0  # seconds between two looks for segments that may go
LINGER = 60.0  # seconds for which a model that is not needed any more can still be asked
T = TypeVar("T")
said = logging.getLogger("bapsim.serve")


def live_path(root: Path, deployment: str, worker: int) -> Path:
    """Where a worker writes what it has seen."""
    return release.folder_of(root) / f"live-{deployment}-w{worker}.json"


async def aside(work: Callable[..., T], *values: Any) -> T:
    """Do something in a thread."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *values)


@dataclass
class Keeper:
    """Keeps one service up to date. parent: the process that started this worker, None = nobody."""

    service: Service
    parent: int | None = None
    orphaned: Callable[[], None] | None = None
    _seen: tuple[Any, ...] = ()
    _n: int = 0
    _broken: dict[str, int] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        """Until it is cancelled."""
        self.service.undo = self.undo
        told = swept = 0.0
        while True:
            await self._safely(self.follow())
            now = time.monotonic()
            if now - told >= TOLD:
                told = now
                await self._safely(self.tell())
            if now - swept >= SWEPT and self.service.worker == 0:
                swept = now
                await self._safely(self._sweep())
            if self.parent is not None and os.getppid() != self.parent and self.orphaned is not None:
                self.orphaned()
                return
            await asyncio.sleep(EACH)

    async def _safely(self, work: Awaitable[None]) -> None:
        """One thing that fails must not end the others."""
        try:
            await work
        except Exception as why:  # noqa: BLE001  it is told in /health
            said.exception("a look at the release failed")
            self.service.warnings["keeper"] = f"{type(why).__name__}: {why}"
        else:
            self.service.warnings.pop("keeper", None)

    # ------------------------------------------------------------------ the release

    def _signs(self) -> tuple[Any, ...]:
        """What changes when the release or the ledger does."""
        wheel = self.service.root / "wheel"
        files = [release.folder_of(self.service.root) / "release.json", wheel / "ledger.sqlite"]
        found: list[Any] = []
        for path in [*files, wheel / "ledger.sqlite-wal"]:
            try:
                there = path.stat()
                found.append((there.st_mtime_ns, there.st_size, there.st_ino))
            except OSError:
                found.append(None)
        return tuple(found)

    async def follow(self) -> None:
        """Take over what the release says, where it says something else than before."""
        async with self._lock:
            lineup = self.service.lineup
            if lineup.before is not None and not lineup.on_probation:
                self._take(replace(lineup, before=None, new_trial=None))
            signs = self._signs()
            if signs == self._seen:
                return
            root = self.service.root
            wanted = await aside(release.read, root)
            serves = await aside(release.serving, root, wanted)
            self._n = wanted.n
            if serves is not None:
                await self._follow(wanted, serves)
            self._seen = signs if self._signs() == signs else ()

    async def _follow(self, wanted: Release, serves: str) -> None:
        old = self.service.lineup
        first = await self._ready(serves, old)
        if first is None:
            first = old.serves
        canary = await self._ready(wanted.canary, old) if wanted.canary != first.version else None
        shadow = await self._ready(wanted.shadow, old) if wanted.shadow != first.version else None
        new = replace(old, canary=canary, shadow=shadow, share=wanted.share)
        if first is not old.serves:
            trial = Trial(old.serves.usual, share=1 / self.service.workers)
            new = replace(new, serves=first, before=old.serves, new_trial=trial, begun=time.monotonic())
        if canary is not None and (canary is not old.canary or first is not old.serves):
            trial = Trial(first.usual, share=1 / self.service.workers)
            new = replace(new, canary_trial=trial)
        self._take(new)

    async def _ready(self, version: str | None, old: Lineup) -> Player | None:
        """A player of this version; None where there is none that answers."""
        service = self.service
        if version is None or self._broken.get(version) == self._n:
            return None
        for one in old.players:
            if one.version == version:
                return one
        try:
            loaded = await aside(served, service.root, version, service.task, service.types)
        except BapsimError as why:
            self._broken[version] = self._n
            await self._not_ready(version, why.say().split("\n")[0])
            return None
        service.warnings.pop(version, None)
        return player(loaded)

    async def _not_ready(self, version: str, why: str) -> None:
        said.error("model %s: %s", version, why)
        self.service.warnings[version] = why
        with suppress(InputError):  # nothing to go back to: whoever serves goes on
            await aside(release.change, self.service.root, "rollback", version, f"automatic: {why}")

    def _take(self, new: Lineup) -> None:
        """Put a lineup in its place; models that nobody needs go a while later."""
        old, self.service.lineup = self.service.lineup, new
        for one in old.players:
            if one not in new.players:
                asyncio.get_running_loop().call_later(LINGER, self._dismiss, one)
        roles = {"serves": new.serves, "canary": new.canary, "shadow": new.shadow}
        self.service.roles = {role: None if one is None else one.version for role, one in roles.items()}

    def _dismiss(self, one: Player) -> None:
        if one not in self.service.lineup.players:
            one.lane.end()

    async def undo(self, version: str, why: str) -> None:
        """Roll a version back that does worse: here at once, for everyone by the release."""
        async with self._lock:
            lineup = self.service.lineup
            if lineup.canary is not None and lineup.canary.version == version:
                self._take(replace(lineup, canary=None, canary_trial=None))
            elif lineup.serves.version == version and lineup.before is not None:
                self._take(replace(lineup, serves=lineup.before, before=None, new_trial=None))
            else:
                return
            said.error("model %s is rolled back: %s", version, why)
            self.service.warnings[version] = why
            with suppress(InputError):
                await aside(release.change, self.service.root, "rollback", version, f"automatic: {why}")
            self._seen = ()

    # ------------------------------------------------------------------ what was seen

    async def tell(self) -> None:
        """Write what this worker has seen, for all processes."""
        service = self.service
        service.metrics.stands(service.roles, service.waiting, service.log)
        body = facts(service)
        path = live_path(service.root, service.deployment.name, service.worker)
        with suppress(OSError):  # the log says that the disk is full
            await aside(_write, path, body)

    async def _sweep(self) -> None:
        service = self.service
        days = service.deployment.retain
        if days is not None:
            gone, kept = await aside(retire, service.root, service.deployment.name, days, service.log.current)
            service.retired += gone
            service.untaken = kept


def facts(service: Service) -> dict[str, Any]:
    """What a worker has seen, and how it stands."""
    log = service.log
    return service.live.json() | {
        "worker": service.worker,
        "pid": os.getpid(),
        "waiting": service.waiting,
        "warnings": dict(service.warnings),
        "roles": dict(service.roles),
        "log": {
            "failing": log.failing,
            "lost": log.lost,
            "written": log.written,
            "masked": log.masked,
            "segment": log.current,
            "retired": service.retired,
            "untaken": service.untaken,
        },
    }


def _write(path: Path, body: dict[str, Any]) -> None:
    """Whole or not at all, but not synced: after a power cut nobody needs it."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(body), "utf-8")
    temporary.replace(path)
