"""The ledger's tables, as ordered migrations; `user_version` says how many were applied.

Money is integer minor units with a currency. Columns of `VOLATILE` are all that may differ between two
undisturbed runs, or between one and a resumed one.
"""

from __future__ import annotations

VOLATILE: dict[str, tuple[str, ...]] = {
    "event": ("at", "previous", "mac"),
    "turn": ("started", "ended", "seconds", "pid"),
    "tape": ("at", "intents"),
    "look": ("at",),
    "cost": ("at",),
    "consent": ("at",),
    "withdrawal": ("at", "report", "ended"),
    "entry": ("at",),
    "appeal": ("at",),
}

MIGRATIONS: tuple[str, ...] = (
    """
create table event(seq integer primary key, at text not null, kind text not null, subject text not null,
    digest text not null, previous text not null, mac text not null);
create table stage(key text primary key, name text not null, turn integer not null, output text not null);
create table origin(n integer primary key, turn integer not null, source text not null,
    input_maker text not null, target_maker text not null, method text not null, rights text not null,
    consent text, batch text, keyed integer not null, fingerprint text not null, state text not null,
    unique(turn, fingerprint));
create table folder(name text primary key, columns text not null unique);
create table shard(path text primary key, folder text not null, generation integer not null,
    rows integer not null, turn integer not null, source text not null, sha256 text not null,
    verdicts text, verdicts_sha256 text);
create table batch(turn integer not null, source text not null, lines integer not null,
    again integer not null, fresh integer not null, unread integer not null, primary key(turn, source));
create table unread(source text not null, file text not null, line integer not null, reason text not null,
    detail text not null, turn integer not null, primary key(source, file, line, reason));
create table turn(n integer primary key, state text not null, recipe text not null, decision text,
    accounts text, started text, ended text, seconds real, pid integer);
create table exam(version integer primary key, turn integer not null, items integer not null,
    fresh integer not null, refund real not null);
create table exam_item(id blob primary key, version integer not null, origin integer not null,
    until integer);
create table look(exam integer not null, candidate text not null, champion text not null,
    turn integer not null, alpha real not null, verdict text, at text,
    primary key(exam, candidate, champion));
create table model(version text primary key, name text not null, turn integer not null,
    fingerprint text not null, data text not null, state text not null, judged text, served text,
    sha256 text, details text not null);
create table eaten(version text not null, shard text not null, mask blob not null,
    primary key(version, shard));
create table question(id blob primary key, turn integer not null, draw text not null, state text not null,
    suggested text);
create table tape(dialogue text not null, step integer not null, asked text not null, got blob, owner text,
    sealed integer not null default 0, intents integer not null default 1, at text,
    primary key(dialogue, step));
create table cost(n integer primary key, turn integer not null, what text not null,
    minor integer not null, currency text not null, calls integer not null, at text);
create table consent(n integer primary key, person text not null, scope text not null, kind text not null,
    at text);
create table descendant(id blob not null, consent text not null, primary key(id, consent));
create table used(n integer primary key, version text not null, reason text not null, turn integer not null);
""",
    """
create table asking(id blob not null, turn integer not null, why text not null, primary key(id, turn));
create table guideline(label text not null, turn integer not null, rule text not null,
    primary key(label, turn));
""",
    """
create table permit(consent text primary key, person text not null, given text not null,
    terms text not null, turn integer not null);
create table withdrawal(consent text primary key, person text not null, at text not null, by text not null,
    state text not null, report text, ended text);
create table action(id blob not null, consent text not null, action text not null, reason text not null,
    primary key(id, consent));
create table taint(kind text not null, name text not null, consent text not null, turn integer not null,
    rows integer not null, remedy text not null, primary key(kind, name, consent));
create index descendant_of on descendant(consent, id);
""",
    """
create table entry(n integer primary key, transfer text not null, account text not null,
    person text not null, source text not null, minor integer not null, currency text not null,
    what text not null, why text not null, ref text not null, turn integer not null, at text,
    unique(transfer, account, person, source));
create table worked(consent text not null, line text not null, person text not null,
    source text not null, said real not null, ms integer not null, rule text not null,
    turn integer not null, primary key(consent, line));
create table appeal(n integer primary key, ref text not null, person text not null, state text not null,
    decider text not null, why text not null, turn integer not null, at text);
""",
    """
create table generator(version text primary key, name text not null, turn integer not null,
    fingerprint text not null unique, data text not null, state text not null, sha256 text,
    details text not null);
""",
)

# Tables whose every row is in the audit chain, with their key columns.
GUARDED: dict[str, tuple[str, ...]] = {
    "stage": ("key",),
    "origin": ("n",),
    "folder": ("name",),
    "shard": ("path",),
    "batch": ("turn", "source"),
    "unread": ("source", "file", "line", "reason"),
    "turn": ("n",),
    "exam": ("version",),
    "exam_item": ("id",),
    "look": ("exam", "candidate", "champion"),
    "model": ("version",),
    "eaten": ("version", "shard"),
    "generator": ("version",),
    "question": ("id",),
    "asking": ("id", "turn"),
    "guideline": ("label", "turn"),
    "tape": ("dialogue", "step"),
    "cost": ("n",),
    "consent": ("n",),
    "descendant": ("id", "consent"),
    "used": ("n",),
    "permit": ("consent",),
    "withdrawal": ("consent",),
    "action": ("id", "consent"),
    "taint": ("kind", "name", "consent"),
    "entry": ("n",),
    "worked": ("consent", "line"),
    "appeal": ("n",),
}

# Tables of which no row is ever changed or erased: a correction is a row of its own.
APPEND_ONLY = frozenset({"entry", "worked"})
