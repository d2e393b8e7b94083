"""What the expert room keeps: dialogues, their steps, who says what of which case, what was learnt.

All that a person said lies sealed under the consent that it was said under, and goes with it.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, LargeBinary, String, Text, UniqueConstraint

from bapsim.serve.people.tables import numbered, of_person, table

# manner: JSON of what the interview is told (labels, column, topic to begin with); turn: whose model it is
# about; steps: asked and answered so far, those to the data too; waits: sealed, the question that waits and
# what it is about; state: open, ended (its lines wait for approval), closed.
dialogue = table(
    "room_dialogue",
    numbered(),
    Column("id", String(12), nullable=False),
    of_person(),
    Column("consent", String(14), ForeignKey("consent.id"), nullable=False, index=True),
    Column("lang", String(2), nullable=False),
    Column("manner", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    Column("steps", Integer, nullable=False),
    Column("waits", LargeBinary, nullable=True),
    Column("made", String(40), nullable=False),
    Column("ended", String(40), nullable=True),
    UniqueConstraint("id"),
)

# The tape: asked: the question's fingerprint; body: sealed JSON of question and reply.
step = table(
    "room_step",
    numbered(),
    Column("dialogue", String(12), nullable=False),
    Column("consent", String(14), nullable=False, index=True),
    Column("step", Integer, nullable=False),
    Column("asked", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("dialogue", "step"),
)

# What somebody says of a case now: body: sealed JSON of label, why and the case's text; says: of the label,
# what tells equal ones from others and nothing else (an HMAC), nothing in rows of an older version.
position = table(
    "room_position",
    numbered(),
    Column("dialogue", String(12), nullable=False),
    Column("consent", String(14), nullable=False, index=True),
    of_person(),
    Column("case", String(32), nullable=False, index=True),
    Column("body", LargeBinary, nullable=False),
    Column("says", String(32), nullable=True),
    UniqueConstraint("dialogue", "case"),
)

# What a dialogue would change, as of a step: body: sealed JSON of the effect.
effect = table(
    "room_effect",
    numbered(),
    Column("dialogue", String(12), nullable=False),
    Column("consent", String(14), nullable=False, index=True),
    Column("step", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("dialogue"),
)
