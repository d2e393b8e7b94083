"""What the label desk keeps: jobs, their items, who holds which item, what changed, what people are told."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint

from bapsim.serve.people.tables import numbered, of_person, table

# kind: label, pair, spans, confirm; answer: class, labels, number; origin: "project", or the file's name;
# labels, settings: JSON; turn: whose questions a job of the project has; state: open, closed.
job = table(
    "desk_job",
    Column("id", String(12), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("answer", String(8), nullable=False),
    Column("title", String(200), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("labels", Text, nullable=False),
    Column("settings", Text, nullable=False, server_default="{}"),
    Column("turn", Integer, nullable=True),
    Column("state", String(8), nullable=False),
    Column("made", String(40), nullable=False),
    of_person("by", null=True),
)

# id: the record's id in hex, or 32 digits of file and key; place: order of asking; shows, guess, gold:
# JSON; gold: the answer that is known, of a blind test; state: open, settled, gone (no longer asked).
item = table(
    "desk_item",
    numbered(),
    Column("id", String(32), nullable=False),
    Column("job", String(12), ForeignKey("desk_job.id"), nullable=False),
    Column("key", String(200), nullable=False),
    Column("place", Integer, nullable=False),
    Column("shows", Text, nullable=False),
    Column("guess", Text, nullable=True),
    Column("gold", Text, nullable=True),
    Column("state", String(8), nullable=False),
    UniqueConstraint("job", "id"),
)
_ASKED, _KNOWN = item.c.gold.is_(None), item.c.gold.is_not(None)
Index(
    "desk_item_asked",
    item.c.job,
    item.c.state,
    item.c.place,
    item.c.seq,
    sqlite_where=_ASKED,
    postgresql_where=_ASKED,
)
Index("desk_item_known", item.c.job, item.c.seq, sqlite_where=_KNOWN, postgresql_where=_KNOWN)

# Who has an item before them, until when (seconds since 1970); blind: gold, again, or nothing.
lease = table(
    "desk_lease",
    numbered(),
    Column("job", String(12), nullable=False),
    of_person(),
    Column("item", String(32), nullable=False),
    Column("blind", String(8), nullable=True),
    Column("until", Float, nullable=False),
    UniqueConstraint("job", "person"),
)

# Where each person stands with an item: what: said, skipped; line: the answer; blind: it was a test; hit: of
# a test whose answer is known, 1 for the right one, 0 for another, nothing for "cannot tell".
done = table(
    "desk_done",
    numbered(),
    Column("job", String(12), nullable=False),
    Column("item", String(32), nullable=False),
    of_person(),
    Column("consent", String(14), nullable=True, index=True),
    Column("what", String(8), nullable=False),
    Column("line", String(40), nullable=True),
    Column("blind", String(8), nullable=True),
    Column("hit", Integer, nullable=True),
)
Index("desk_done_item", done.c.job, done.c.item)
Index("desk_done_person", done.c.job, done.c.person)

# Everything that happened to an item: what: said, undone, skipped, settled, opened; line: what was said; a
# person's rows go with the person's consent.
change = table(
    "desk_change",
    numbered(),
    Column("job", String(12), nullable=False),
    Column("item", String(32), nullable=False),
    of_person(null=True),
    Column("consent", String(14), nullable=True, index=True),
    Column("what", String(10), nullable=False),
    Column("line", String(40), nullable=True),
    Column("at", String(40), nullable=False),
)
Index("desk_change_item", change.c.job, change.c.item)
Index("desk_change_person", change.c.job, change.c.person)

# What people are told of a label: the newest row of each counts; examples: JSON list of texts; what an expert
# worded goes with the consent.
guideline = table(
    "desk_guideline",
    numbered(),
    Column("job", String(12), ForeignKey("desk_job.id"), nullable=False),
    Column("label", String(200), nullable=False),
    Column("rule", Text, nullable=False),
    Column("examples", Text, nullable=False, server_default="[]"),
    Column("consent", String(14), nullable=True, index=True),
    of_person("by", null=True),
    Column("at", String(40), nullable=False),
)
Index("desk_guideline_label", guideline.c.job, guideline.c.label)
