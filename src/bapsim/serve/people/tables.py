"""Tables of the service database that all rooms need; a room with tables of its own has them in its own file.

Names and words of people lie here sealed only: a copy of the database without the keys tells nobody's.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

META = MetaData()
SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")  # sqlite counts up INTEGER PRIMARY KEY only


def table(name: str, *parts: Any) -> Table:
    """A table; on SQLite a sequence number is never given twice."""
    return Table(name, META, *parts, sqlite_autoincrement=True)


def numbered() -> Column[int]:
    """A sequence number, ascending in the order of commit."""
    return Column("seq", SEQUENCE, primary_key=True, autoincrement=True)


def of_person(name: str = "person", *, null: bool = False) -> Column[str]:
    """A person by pseudonym."""
    return Column(name, String(12), ForeignKey("person.id"), nullable=null, index=True)


# Which project this is, and the version of the schema.
about = table("about", Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))

# state: invited, active, gone (revoked or withdrawn); login: keyed hash of the name that one signs in with;
# sealed: {"name", "email"} under the person's key; domain: what somebody is an expert of, in plain words.
person = table(
    "person",
    Column("id", String(12), primary_key=True),
    Column("role", String(12), nullable=False),
    Column("state", String(12), nullable=False),
    Column("lang", String(2), nullable=False),
    Column("domain", String(200), nullable=False, server_default=""),
    Column("login", String(64), nullable=True, unique=True),
    Column("password", String(200), nullable=True),
    Column("sealed", LargeBinary, nullable=True),
    Column("made", String(40), nullable=False),
    Column("by", String(12), nullable=True),
)

# token: hash of what stands in the link; used: when; kind: invite, owner, reset.
invite = table(
    "invite",
    Column("token", String(64), primary_key=True),
    Column("kind", String(12), nullable=False),
    of_person(),
    Column("made", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("used", Float, nullable=True),
)

# token: hash of the cookie; seconds since 1970.
session = table(
    "session",
    Column("token", String(64), primary_key=True),
    of_person(),
    Column("made", Float, nullable=False),
    Column("seen", Float, nullable=False),
)

# Failed attempts to sign in, by hashed name and by hashed address.
attempt = table("attempt", numbered(), Column("key", String(64), nullable=False), Column("at", Float))
Index("attempt_key", attempt.c.key, attempt.c.at)

# Who read or changed what; mac chains each row to the one before.
audit = table(
    "audit",
    numbered(),
    Column("at", String(40), nullable=False),
    Column("person", String(12), nullable=True, index=True),
    Column("what", String(40), nullable=False, index=True),
    Column("subject", String(120), nullable=False),
    Column("detail", Text, nullable=False),
    Column("mac", String(64), nullable=False),
)

# What happened on a channel, for all who watch it; body: JSON without anybody's words (they lie sealed
# elsewhere, and are read when it is shown).
event = table(
    "event",
    numbered(),
    Column("channel", String(80), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Float, nullable=False),
)
Index("event_channel", event.c.channel, event.c.seq)

# A grant: state given, withdrawn; erasure: how far a withdrawal has come (waiting, done, or why not); terms:
# the grant as JSON; receipt: the signed record, as it was handed out; changes: how often its lines changed;
# published: how many of these changes its file in the inbox has.
consent = table(
    "consent",
    Column("id", String(14), primary_key=True),
    of_person(),
    Column("state", String(12), nullable=False),
    Column("notice", String(40), nullable=False),
    Column("lang", String(2), nullable=False),
    Column("terms", Text, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("made", String(40), nullable=False),
    Column("ended", String(40), nullable=True),
    Column("erasure", String(200), nullable=True),
    Column("changes", BigInteger, nullable=False, server_default="0"),
    Column("published", BigInteger, nullable=False, server_default="0"),
)

# What a person gave: body is JSON sealed under the consent's key. state: draft, approved (its file in the
# inbox has it in the clear), undone. A table that holds anybody's words has a column `consent`, and what is
# in it goes when that consent is withdrawn.
line = table(
    "line",
    numbered(),
    Column("id", String(40), nullable=False),
    Column("consent", String(14), ForeignKey("consent.id"), nullable=False, index=True),
    of_person(),
    Column("kind", String(20), nullable=False),
    Column("dialogue", String(40), nullable=True, index=True),
    Column("question", String(32), nullable=True, index=True),
    Column("state", String(12), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("made", String(40), nullable=False),
    Column("approved", String(40), nullable=True),
    UniqueConstraint("id"),
)
