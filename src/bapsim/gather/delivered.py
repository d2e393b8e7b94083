"""A delivery from outside with its certificate: rows that a vendor, or another project, signed for.

What the certificate does not cover does not enter: another signer, a changed file, other rows. What enters is
machine-made as deep as the certificate says, or of makers that nobody knows; the word of a vendor is neither
a person's nor a verifier's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError
from bapsim.core.records import Draft, Maker, Origin, Rows, Unread, rows_of
from bapsim.core.turn import Turn
from bapsim.gather.chunk import NotRead
from bapsim.gather.files import Files, inside, nothing
from bapsim.gather.read import read
from bapsim.store.sealing import canonical, is_sound

FORM = "bapsim delivery 1"
CERTIFICATE = "certificate.json"
LARGEST = 16 << 20  # bytes of a certificate
DEEPEST = 100
KEY = "row_id"
Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The source; see `delivered`."""

    folder: str
    signer: str
    rights: str | None = None

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        """The rows of all files; a file that the certificate does not cover is unread, with the reason."""
        place = inside(turn.inbox, self.folder)
        try:
            body = certified(place / CERTIFICATE, self.signer)
            makers, hands = made(body)
            files = [(str(one["path"]), str(one["sha256"]), int(one["rows"])) for one in body["files"]]
            rights = [str(one) for one in body.get("rights", ())]
        except NotRead as why:
            yield self._unread(turn, CERTIFICATE, why)
            return
        except (KeyError, TypeError, ValueError):
            yield self._unread(turn, CERTIFICATE, NotRead("certificate_form"))
            return
        origin = Origin(
            source=self.folder,
            input_maker=makers[0],
            target_maker=makers[1],
            method=f"delivered:{sha256(canonical(body)).hexdigest()[:16]}",
            rights=self.rights or (rights[0] if len(rights) == 1 else "unknown"),
            batch=self.folder,
        )
        for path, digest, rows in files:
            try:
                covered(place, path, digest, rows)
            except NotRead as why:
                yield self._unread(turn, path, why)
                continue
            for draft in Files(f"{self.folder.strip('/')}/{path}")(turn):
                yield _of_task(replace(draft, origin=origin, hands=hands), turn)

    def _unread(self, turn: Turn, path: str, why: NotRead) -> Draft:
        rows = nothing().rows
        name = f"{self.folder.strip('/')}/{path}"
        unread = (Unread(file=name, line=0, reason=why.reason, detail=why.detail),)
        origin = Origin(
            source=self.folder,
            input_maker="unknown",
            target_maker="unknown",
            method="delivered",
            rights="unknown",
        )
        return Draft(rows=Rows(rows), origin=origin, unread=unread)


def certified(path: Path, signer: str) -> Body:
    """The body of a certificate that this signer signed; raises NotRead with what is wrong."""
    try:
        if path.stat().st_size > LARGEST:
            raise NotRead("certificate_form")
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise NotRead("certificate_missing") from error
    except (ValueError, RecursionError) as error:
        raise NotRead("certificate_form") from error
    body = said.get("body") if isinstance(said, dict) else None
    if not isinstance(body, dict) or body.get("form") != FORM:
        raise NotRead("certificate_form")
    if said.get("public_key") != signer:
        raise NotRead("certificate_signer", str(said.get("public_key"))[:64])
    if not is_sound(said):
        raise NotRead("certificate_signature")
    return body


def made(body: Body) -> tuple[tuple[Maker, Maker], tuple[int, int]]:
    """Who made inputs and targets, and how many machine hands lie on them: 0 hands are nobody's word here."""
    depths = [body["depth"][part] for part in ("input", "target")]
    if not all(one is None or (type(one) is int and 0 <= one <= DEEPEST) for one in depths):
        raise NotRead("certificate_form")
    makers: list[Maker] = ["machine" if one else "unknown" for one in depths]
    return (makers[0], makers[1]), (depths[0] or 1, depths[1] or 1)


def covered(place: Path, path: str, digest: str, rows: int) -> None:
    """Raises NotRead for a file of a delivery that is not what was signed for."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise NotRead("certificate_form", path[:80])
    try:
        inside(place, path)
        with (place / path).open("rb") as file:
            found = sha256()
            while piece := file.read(1 << 20):
                found.update(piece)
    except (OSError, InputError) as error:
        raise NotRead("certificate_file") from error
    if found.hexdigest() != digest:
        raise NotRead("certificate_hash")
    try:
        count = sum(len(chunk.rows) + len(chunk.unread) for chunk in read(place / path))
    except InputError as error:
        raise NotRead("certificate_file") from error
    if count != rows:
        raise NotRead("certificate_rows", str(count))


def _of_task(draft: Draft, turn: Turn) -> Draft:
    """The columns that the task names; the vendor's own name of each row is its key."""
    there = draft.rows.schema.names
    keys = strings(draft.rows.column(KEY)) if KEY in there else None
    columns = [name for name in turn.task.columns if name in there]
    return replace(draft, rows=rows_of(draft.rows, columns), keys=keys)


def delivered(folder: str, *, signer: str, rights: str | None = None) -> Delivered:
    """The rows of a folder in the inbox that `bapsim export OUT --delivery SOURCE` wrote, or a vendor alike.

    signer: the public key (base64) that the vendor gave on another way; rights: of the rows, where the
    certificate is not to be believed in that. A certificate or file that does not hold is unread, with the
    reason: certificate_missing, _form, _signer, _signature, _file, _hash, _rows.
    """
    return Delivered(folder=folder, signer=signer, rights=rights)
