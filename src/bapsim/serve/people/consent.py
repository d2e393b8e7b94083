"""Consent: what is shown, what is granted, the record of it (ISO/IEC TS 27560:2023), and its signed receipt.

The notice has a version, and its whole text in the language in which it was read a hash; both stand in the
record. Nothing is ticked in advance, and each purpose is a decision of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bapsim.core.errors import text
from bapsim.judge.pay import Pay
from bapsim.serve.people.names import new_consent
from bapsim.serve.people.persons import Person
from bapsim.serve.people.tables import about, consent
from bapsim.store.ledger import now
from bapsim.store.sealing import public_key, sign
from bapsim.store.terms import SCOPES, Terms, as_written, signed_body
from bapsim.wheel.pay_words import rule_in_words
from bapsim.wheel.pay_work import RULE

VERSION = "2026-11"
SECTIONS = ("who", "what", "purposes", "storage", "rights", "withdraw", "limits", "pay")
LICENCES = ("LicenseRef-expert", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0")
EMPLOYER = ("none", "cleared", "pending")
REVOCABLE = ("yes", "before_turn")
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Who answers for the data, as the owner wrote it down; without name and contact nobody can consent."""

    name: str = ""
    contact: str = ""
    jurisdiction: str = "KR"
    storage: str = ""
    retention: str = ""
    pay: str = ""

    @property
    def complete(self) -> bool:
        return bool(self.name and self.contact and self.storage and self.retention)


def controller(connection: sa.Connection) -> Controller:
    """As it stands."""
    said = connection.execute(sa.select(about.c.value).where(about.c.key == "controller")).scalar()
    known = {field.name for field in fields(Controller)}
    return Controller(**{k: v for k, v in json.loads(said or "{}").items() if k in known})


def set_controller(connection: sa.Connection, new: Controller) -> None:
    """Write it down; from now on the notice says so."""
    connection.execute(about.delete().where(about.c.key == "controller"))
    said = json.dumps(vars(new), ensure_ascii=False)
    connection.execute(about.insert().values(key="controller", value=said))


def notice(made: Controller, lang: str, rule: Pay | None = None) -> list[tuple[str, str]]:
    """The notice in one language: head and text of each section. rule: of pay, as the recipe has it."""
    words = {name: value or "–" for name, value in vars(made).items()}
    if rule is not None:
        words["pay"] = " ".join([*([made.pay] if made.pay else []), *rule_in_words(rule, lang)])
    key = f"notice.{VERSION}"
    told = [one for one in SECTIONS if one != "pay" or made.pay or rule is not None]
    return [(text(f"{key}.{one}.head", lang), text(f"{key}.{one}", lang, **words)) for one in told]


def digest_of(shown: list[tuple[str, str]]) -> str:
    """The hash of a notice as it was shown."""
    whole = "\n\n".join(f"{head}\n{body}" for head, body in shown)
    return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What somebody chose on the form."""

    scope: frozenset[str]
    licence: str = "LicenseRef-expert"
    never_synthesise: bool = False
    embargo: date | None = None
    expires: date | None = None
    confidential: bool = False
    employer: str = "none"
    secret_owner: str | None = None
    revocable: str = "yes"


def terms_of(
    folder: Path, who: Person, made: Controller, grant: Grant, lang: str, rule: Pay | None = None
) -> Terms:
    """The signed terms of a grant, with its record. folder: where the project's signing key is; rule: of pay,
    under which the person works as long as the consent stands, whatever the recipe says later.
    """
    name, at = new_consent(), now()
    shown = {"version": VERSION, "lang": lang, "sha256": digest_of(notice(made, lang, rule))}
    terms = Terms(consent=name, person=who.id, given=at, notice=shown, **vars(grant))
    works = {} if rule is None else {RULE: rule.id, "compensation_rule": rule.said()}
    terms = replace(terms, record=record_of(terms, made) | works)
    return replace(terms, signature=sign(folder, signed_body(terms)))


def record_of(terms: Terms, made: Controller) -> Json:
    """The consent record by the fields of ISO/IEC TS 27560:2023."""
    here = {"storage_locations": [made.storage], "retention_period": made.retention}
    here |= {"processing_location": made.storage, "jurisdiction": made.jurisdiction}
    others = [] if "third_party" not in terms.scope else ["licensees of the data set"]
    return {
        "schema_version": "ISO/IEC TS 27560:2023",
        "record_id": terms.consent,
        "pii_principal_id": terms.person,
        "created_at": terms.given,
        "pii_processing": {
            "privacy_notice": {"uri": f"urn:bapsim:notice:{VERSION}", **terms.notice},
            "language": terms.notice["lang"],
            "purposes": [_purpose(one, terms, made, here, others) for one in SCOPES if one in terms.scope],
        },
        "party_identification": [
            {"party_id": "controller", "party_role": "pii_controller", **_party(made)},
            {"party_id": terms.person, "party_role": "pii_principal"},
        ],
        "events": [
            {
                "event_time": terms.given,
                "event_type": "explicit",
                "event_state": "given",
                "entity_id": terms.person,
                "validity_duration": None if terms.expires is None else f"until {terms.expires.isoformat()}",
            }
        ],
    }


def _party(made: Controller) -> Json:
    return {"party_name": made.name, "party_contact": made.contact, "party_address": None, "party_url": None}


def _purpose(one: str, terms: Terms, made: Controller, here: Json, others: list[str]) -> Json:
    return {
        "purpose": one,
        "purpose_type": "machine_learning",
        "lawful_basis": "consent",
        "pii_information": [
            {"pii_type": "expert answers and dialogue, redacted", "pii_optional": False, "sensitive": False},
            {"pii_type": "pseudonym", "pii_optional": False, "sensitive": False},
        ],
        "pii_controllers": ["controller"],
        "collection_method": "web form and dialogue, approved by the principal",
        "processing_method": "training, evaluation and derivation as granted",
        "recipient_third_parties": others,
        "service": "bapsim",
        "geographic_restrictions": None,
        "withdrawal_method": "one click on the page of one's own data, or through the contact",
        "privacy_rights": ["access", "rectification", "erasure", "restriction", "portability", "objection"],
        "codes_of_conduct": None,
        "impact_assessment": None,
        "authority_party": None,
        **here,
    }


def receipt_of(folder: Path, terms: Terms, audit_head: str) -> Json:
    """What the person keeps: the terms, a signature over them, the key to verify it with, and where the audit
    log stood, so that a rewritten log can be told.
    """
    return {
        "receipt_id": f"r-{terms.consent}",
        "schema_version": "ISO/IEC TS 27560:2023",
        "terms": as_written(terms),
        "signed": "Ed25519 over the terms without their signature: JSON, sorted keys, no blanks, UTF-8",
        "public_key": public_key(folder),
        "audit_head": audit_head,
    }


def enter(connection: sa.Connection, terms: Terms, receipt: Json) -> None:
    """The consent as a row."""
    connection.execute(
        consent.insert().values(
            id=terms.consent,
            person=terms.person,
            state="given",
            notice=str(terms.notice["version"]),
            lang=str(terms.notice["lang"]),
            terms=json.dumps(as_written(terms), ensure_ascii=False),
            receipt=json.dumps(receipt, ensure_ascii=False),
            made=terms.given,
        )
    )


def standing(connection: sa.Connection, person: str) -> str | None:
    """The newest consent of a person that stands and may be used today: under it goes what they give now."""
    query = sa.select(consent.c.id, consent.c.terms).where(
        consent.c.person == person, consent.c.state == "given"
    )
    today = date.fromisoformat(now()[:10])
    for name, said in connection.execute(query.order_by(consent.c.made.desc(), consent.c.id)):
        ends = json.loads(said).get("expires")
        if ends is None or date.fromisoformat(ends) >= today:
            return str(name)
    return None


def of_person(connection: sa.Connection, person: str) -> list[Mapping[str, Any]]:
    """All consents of a person, the newest first, with their terms."""
    query = sa.select(consent).where(consent.c.person == person)
    rows = connection.execute(query.order_by(consent.c.made.desc(), consent.c.id)).mappings()
    return [{**row, "terms": json.loads(row["terms"])} for row in rows]
