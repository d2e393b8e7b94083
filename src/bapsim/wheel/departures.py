"""What left the house: a note for each export and each shipped package, so that a withdrawal can name them.

Nobody can take back what others have; but what was sent, when, where to and what it held is known. A note is
written before the folder is put in its place: a note too many is better than one too few.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from bapsim.store import fault
from bapsim.store.lake import file_sha256
from bapsim.store.ledger import now
from bapsim.store.project import Project

FOLDER = "departures"


@dataclass(frozen=True, kw_only=True)
class Departure:
    """One folder that was written for others: what is `export` or `ship`; consents: that its rows rest on, or
    those of what its model was trained on; files: sha256 by name.
    """

    what: str
    at: str
    place: str
    turn: int
    version: str | None
    consents: tuple[str, ...]
    files: dict[str, str]
    reason: str | None = None

    @property
    def name(self) -> str:
        """What the note is called: the same content sent to the same place twice is one departure."""
        body = json.dumps([self.what, self.place, self.version, sorted(self.files.items())])
        return f"{self.what}-{hashlib.sha256(body.encode()).hexdigest()[:12]}"


def note(
    project: Project,
    what: str,
    made: Path,
    place: Path,
    consents: Collection[str],
    version: str | None = None,
    reason: str | None = None,
) -> Departure:
    """Note what is about to be put in its place. made: the finished folder."""
    files = {p.relative_to(made).as_posix(): file_sha256(p) for p in sorted(made.rglob("*")) if p.is_file()}
    turn = int(project.ledger.value("select coalesce(max(n), 0) from turn"))
    one = Departure(
        what=what,
        at=now(),
        place=str(place.resolve()),
        turn=turn,
        version=version,
        consents=tuple(sorted(consents)),
        files=files,
        reason=reason,
    )
    body = json.dumps(asdict(one), ensure_ascii=False, indent=1).encode()
    fault.write(project.root / "reports" / FOLDER / f"{one.name}.json", body)
    return one


def departures(project: Project) -> list[Departure]:
    """All notes, the oldest first; one that cannot be read is left to `check`."""
    found = []
    for path in sorted((project.root / "reports" / FOLDER).glob("*.json")):
        try:
            said = json.loads(path.read_text("utf-8"))
            found.append(Departure(**{**said, "consents": tuple(said["consents"])}))
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return sorted(found, key=lambda one: (one.at, one.name))
