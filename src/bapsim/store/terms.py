"""What a person granted, as files of the inbox: the terms of each consent, and tombstones of withdrawn ones.

people/CONSENT.terms.json       what may be done with the records of this consent, and its own record
people/CONSENT.withdrawn.json   written first of all when somebody withdraws; it keeps its rows from returning
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from bapsim.core.errors import InputError
from bapsim.store import fault
from bapsim.store.ledger import now

SCOPES = ("train", "evaluate", "synthesise", "publish_text", "publish_weights", "ship_edge", "third_party")
OUTSIDE = frozenset({"publish_text", "publish_weights", "ship_edge", "third_party"})  # leaves the house
PEOPLE = "people"

Employer = Literal["none", "cleared", "pending"]
Revocable = Literal["yes", "before_turn", "no"]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What one person granted under one consent.

    given: ISO, UTC; scope: purposes of SCOPES; embargo: the first day of use; expires: the last one;
    employer: whether an employer had to agree, and did; secret_owner: whose trade secret it is; revocable:
    until when the grant can be taken back (consent to personal data always can); notice: what was shown
    (version, language, sha256); record: the consent record by ISO/IEC TS 27560; signature: of `signed_body`.
    """

    consent: str
    person: str
    given: str
    scope: frozenset[str]
    licence: str
    never_synthesise: bool = False
    embargo: date | None = None
    expires: date | None = None
    confidential: bool = False
    employer: Employer = "none"
    secret_owner: str | None = None
    revocable: Revocable = "yes"
    notice: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    signature: str | None = None


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """A tombstone: the consent, whose it was, when it was taken back (ISO, UTC), and who wrote that down."""

    consent: str
    person: str
    at: str
    by: str


_Said = TypeVar("_Said", Terms, Withdrawal)


def refusal(all_of: Iterable[Terms], purposes: Iterable[str], day: date) -> str | None:
    """Why records on all of these terms may not be used for these purposes on a day; None: they may.

    What was made from several grants stands under each of them: the strictest decides.
    """
    wanted = frozenset(purposes)
    found = {reason for terms in all_of for reason in _refusals(terms, wanted, day)}
    return next((reason for reason in REFUSALS if reason in found), None)


NO_TERMS = "no_terms"  # of a consent whose terms nobody has seen
REFUSALS = (
    NO_TERMS,
    "no_purpose",
    "consent_expired",
    "embargo",
    "not_cleared",
    "confidential",
    "never_synthesise",
)


def _refusals(terms: Terms, wanted: frozenset[str], day: date) -> Iterator[str]:
    if not wanted <= terms.scope:
        yield "no_purpose"
    if terms.expires is not None and day > terms.expires:
        yield "consent_expired"
    if terms.embargo is not None and day < terms.embargo:
        yield "embargo"
    if terms.employer == "pending" or (terms.secret_owner is not None and terms.employer != "cleared"):
        yield "not_cleared"
    if terms.confidential and wanted & OUTSIDE:
        yield "confidential"
    if terms.never_synthesise and "synthesise" in wanted:
        yield "never_synthesise"


# ---------------------------------------------------------------------- files
def stem(consent: str) -> str:
    """The name of a consent's files: its own where that is plain, else a digest of it."""
    if _PLAIN.fullmatch(consent):
        return consent
    return "x-" + hashlib.blake2b(consent.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def people(inbox: Path) -> Path:
    """Where an inbox keeps what people gave in the rooms."""
    return inbox / PEOPLE


def as_written(terms: Terms) -> dict[str, Any]:
    """Terms as their file has them."""
    said = {**vars(terms), "scope": sorted(terms.scope)}
    return {k: v.isoformat() if isinstance(v, date) else v for k, v in said.items()}


def signed_body(terms: Terms) -> bytes:
    """What a signature of terms is made over: all but the signature, in one form."""
    said = {k: v for k, v in as_written(terms).items() if k != "signature"}
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def write_terms(inbox: Path, terms: Terms) -> Path:
    """Write one grant whole."""
    path = people(inbox) / f"{stem(terms.consent)}.terms.json"
    fault.write(path, json.dumps(as_written(terms), ensure_ascii=False, indent=1).encode())
    return path


def is_withdrawn(inbox: Path, consent: str) -> bool:
    """Whether there is a tombstone of a consent, legible or not."""
    return _tomb(inbox, consent).exists()


def _tomb(inbox: Path, consent: str) -> Path:
    return people(inbox) / f"{stem(consent)}.withdrawn.json"


def write_withdrawal(inbox: Path, consent: str, person: str, by: str) -> Withdrawal:
    """The tombstone of a consent; the first one stands, whatever others say."""
    path = _tomb(inbox, consent)
    if path.exists():
        return _one(path, ".withdrawn.json", _tombstone)
    tombstone = Withdrawal(consent=consent, person=person, at=now(), by=by)
    fault.write(path, json.dumps(vars(tombstone), ensure_ascii=False).encode())
    return tombstone


def read_terms(inbox: Path) -> dict[str, Terms]:
    """All grants of an inbox by consent; raises InputError where one cannot be understood."""
    return {terms.consent: terms for terms in _all(inbox, ".terms.json", parsed)}


def withdrawals(inbox: Path) -> dict[str, Withdrawal]:
    """All tombstones of an inbox by consent; raises InputError where one cannot be understood."""
    return {one.consent: one for one in _all(inbox, ".withdrawn.json", _tombstone)}


def _all(inbox: Path, ending: str, parse: Callable[[Any], _Said]) -> list[_Said]:
    folder = people(inbox)
    return [_one(path, ending, parse) for path in sorted(folder.glob(f"*{ending}"))]


def _one(path: Path, ending: str, parse: Callable[[Any], _Said]) -> _Said:
    where = f"{PEOPLE}/{path.name}"
    try:
        one = parse(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("terms_unreadable", path=where, why=f"{type(error).__name__}: {error}") from error
    if stem(one.consent) != path.name.removesuffix(ending):
        raise InputError("terms_misnamed", path=where, consent=one.consent)
    return one


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said[name]
    if not isinstance(value, str) or not value:
        raise ValueError(name)
    return value


def _one_of(said: Mapping[str, Any], name: str, among: tuple[str, ...]) -> Any:
    value = said.get(name, among[0])
    if value not in among:
        raise ValueError(f"{name}: {value!r}")
    return value


def _yes(said: Mapping[str, Any], name: str) -> bool:
    value = said.get(name, False)
    if not isinstance(value, bool):
        raise TypeError(name)  # a "no" in quotes would count as yes
    return value


def _day(said: Mapping[str, Any], name: str) -> date | None:
    value = said.get(name)
    return None if value is None else date.fromisoformat(value)


def _mapping(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = said.get(name, {})
    if not isinstance(value, dict):
        raise TypeError(name)
    return value


def parsed(said: Mapping[str, Any]) -> Terms:
    """Terms from the fields of their file; raises KeyError, TypeError or ValueError."""
    scope = said["scope"]
    if not isinstance(scope, list) or not set(scope) <= set(SCOPES):
        raise ValueError(f"scope: {scope!r}")
    return Terms(
        consent=_text(said, "consent"),
        person=_text(said, "person"),
        given=_text(said, "given"),
        scope=frozenset(scope),
        licence=_text(said, "licence"),
        never_synthesise=_yes(said, "never_synthesise"),
        embargo=_day(said, "embargo"),
        expires=_day(said, "expires"),
        confidential=_yes(said, "confidential"),
        employer=_one_of(said, "employer", get_args(Employer)),
        secret_owner=None if said.get("secret_owner") is None else _text(said, "secret_owner"),
        revocable=_one_of(said, "revocable", get_args(Revocable)),
        notice=_mapping(said, "notice"),
        record=_mapping(said, "record"),
        signature=None if said.get("signature") is None else _text(said, "signature"),
    )


def _tombstone(said: Mapping[str, Any]) -> Withdrawal:
    return Withdrawal(**{name: _text(said, name) for name in ("consent", "person", "at", "by")})
