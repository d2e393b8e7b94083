"""The ledger: one transaction at a time, every guarded row in a chain that shows any edit."""

import itertools
import re
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import Damaged
from bapsim.store import ledger as module
from bapsim.store.ledger import START, Finding, Ledger, row_digest, subject_of
from bapsim.store.schema import GUARDED, MIGRATIONS, VOLATILE

SECRET = b"s" * 32
numbers = itertools.count()


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def opened(folder, secret=SECRET, writing=True):
    return Ledger(folder / "ledger.sqlite", secret, writing=writing)


def findings(folder, secret=SECRET):
    one = opened(folder, secret, writing=False)
    try:
        return one.verify()
    finally:
        one.close()


def kinds(folder, secret=SECRET):
    return {finding.kind for finding in findings(folder, secret)}


# ------------------------------------------------------------------ histories

# One row of a few tables of each sort of key: text, number, blob, several columns.
MADE = {
    "stage": lambda i: {"key": f"k{i}", "name": "n", "turn": i, "output": "{}"},
    "shard": lambda i: {
        "path": f"p{i}",
        "folder": "f",
        "generation": 0,
        "rows": i,
        "turn": 1,
        "source": "s",
        "sha256": "0",
    },
    "turn": lambda i: {"n": i, "state": "open", "recipe": "r", "started": "now", "seconds": 0.5, "pid": 7},
    "question": lambda i: {"id": bytes([i]) * 16, "turn": 1, "draw": "random", "state": "open"},
    "look": lambda i: {
        "exam": i,
        "candidate": "가",
        "champion": "\x00'",
        "turn": 1,
        "alpha": 0.005,
        "verdict": None,
        "at": "x",
    },
}
CHANGE = {
    "stage": ("output", "[1]"),
    "shard": ("verdicts", "v"),
    "turn": ("state", "done"),
    "question": ("state", "answered"),
    "look": ("verdict", "accept"),
}
WHAT = st.sampled_from(["add", "add", "add", "amend", "erase"])
STEPS = st.lists(
    st.tuples(WHAT, st.sampled_from(sorted(MADE)), st.integers(0, 5)), min_size=1, max_size=6
).map(lambda steps: [("add", "shard", 0), *steps])


def live(steps):
    """Rows by table as the steps leave them, and the steps that do something."""
    there, done = {}, []
    for what, table, i in steps:
        if (what == "add") != ((table, i) in there):
            done.append((what, table, i))
            if what == "erase":
                del there[table, i]
            else:
                there[table, i] = what
    return there, done


def write(ledger, step):
    what, table, i = step
    row = MADE[table](i)
    key = {name: row[name] for name in GUARDED[table]}
    with ledger.change(what):
        if what == "add":
            ledger.add(table, **row)
        elif what == "amend":
            ledger.amend(table, key, **dict([CHANGE[table]]))
        else:
            ledger.erase(table, key)


def history(folder, steps, secret=SECRET):
    folder.mkdir(parents=True, exist_ok=True)
    return go_on(folder, live(steps)[1], secret)


def go_on(folder, done, secret=SECRET):
    ledger = opened(folder, secret)
    for step in done:
        write(ledger, step)
    ledger.close()
    return folder


FEW = settings(max_examples=max(settings.default.max_examples // 6, 1))


@pytest.fixture(scope="module")
def place(quick):
    """A new folder at each call."""
    return lambda: quick / f"ledger{next(numbers)}"


@FEW
@given(steps=STEPS)
def test_a_history_is_well_and_its_rows_are_there(place, steps):
    folder = history(place(), steps)
    there, done = live(steps)
    assert findings(folder) == []
    ledger = opened(folder)
    assert ledger.head()[0] == len(done)
    assert ledger.head() == ledger.kept_head()
    for table, make in MADE.items():
        kept = {row[GUARDED[table][0]] for row in ledger.rows(f"select * from {table}")}
        assert kept == {make(i)[GUARDED[table][0]] for t, i in there if t == table}
    ledger.close()


def raw(folder, query, *values):
    db = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    try:
        found = db.execute(query, values).fetchall()
        db.execute("pragma wal_checkpoint(truncate)")
        return found
    finally:
        db.close()


def other(value):
    match value:
        case None:
            return "x"
        case int() | float():
            return value + 1
        case bytes():
            return value + b"x"
    return value + "x"


def columns(folder, table):
    return [row[1] for row in raw(folder, f"pragma table_info({table})")]


@FEW
@given(steps=STEPS, data=st.data())
def test_any_edit_of_a_guarded_row_is_found(place, steps, data):
    folder = history(place(), steps)
    there, _ = live(steps)
    if not there:
        return
    table, _ = data.draw(st.sampled_from(sorted(there)))
    rowid = data.draw(st.sampled_from(raw(folder, f"select rowid from {table}")))[0]
    guarded = [c for c in columns(folder, table) if c not in VOLATILE.get(table, ())]
    what = data.draw(st.sampled_from([*guarded, "delete", "insert"]))
    if what == "delete":
        raw(folder, f"delete from {table} where rowid=?", rowid)
    elif what == "insert":
        row = MADE[table](9)
        raw(folder, f"insert into {table}({','.join(row)}) values({','.join('?' * len(row))})", *row.values())
    else:
        ((value,),) = raw(folder, f"select {what} from {table} where rowid=?", rowid)
        free = value + 77 if isinstance(value, int) else other(value)
        raw(folder, f"update {table} set {what}=? where rowid=?", free, rowid)
    assert kinds(folder) & {"row_changed", "row_lost"}
    assert all(table in finding.where for finding in findings(folder))


@FEW
@given(steps=STEPS, data=st.data())
def test_any_edit_of_the_chain_is_found(place, steps, data):
    folder = history(place(), steps)
    count = len(live(steps)[1])
    seq = data.draw(st.integers(1, count))
    what = data.draw(st.sampled_from([*columns(folder, "event"), "delete", "insert", "swap", "shift"]))
    if what == "delete":
        raw(folder, "delete from event where seq=?", seq)
    elif what == "insert":
        copied = "seq + ?, at, kind, subject, digest, previous, mac"
        raw(folder, f"insert into event select {copied} from event where seq=?", count, seq)
    elif what == "swap":
        with_next = seq % count + 1
        if with_next == seq:
            return
        for a, b in ((seq, -1), (with_next, seq), (-1, with_next)):
            raw(folder, "update event set seq=? where seq=?", b, a)
    elif what == "shift":
        raw(folder, "update event set seq=-seq")
        raw(folder, "update event set seq=1-seq")
    elif what == "seq":
        raw(folder, "update event set seq=seq+100 where seq=?", seq)
    else:
        ((value,),) = raw(folder, f"select {what} from event where seq=?", seq)
        raw(folder, f"update event set {what}=? where seq=?", other(value), seq)
    assert kinds(folder) & {"chain_broken", "chain_cut"}


@FEW
@given(steps=STEPS, data=st.data())
def test_a_cut_tail_is_found_and_stays_found(place, steps, data):
    done = live(steps)[1]
    cut = data.draw(st.integers(0, len(done) - 1))
    folder = go_on(history(place(), []), done[:cut])
    earlier = (folder / "ledger.sqlite").read_bytes()
    go_on(folder, done[cut:])
    assert findings(folder) == []
    (folder / "ledger.sqlite").write_bytes(earlier)
    assert findings(folder) == [Finding("chain_cut", f"event {len(done)}")]
    with_cost = {"n": 1, "turn": 1, "what": "x", "minor": 5, "currency": "KRW", "calls": 1, "at": "x"}
    ledger = opened(folder)  # whoever goes on writing does not wipe the evidence away
    with ledger.change("on"):
        ledger.add("cost", **with_cost)
    ledger.close()
    assert findings(folder) == [Finding("chain_cut", f"event {len(done)}")]


@FEW
@given(steps=STEPS)
def test_a_rewrite_with_another_key_is_found(place, steps):
    folder = history(place(), steps, b"t" * 32)
    assert kinds(folder) == {"chain_broken"}
    assert findings(folder, b"t" * 32) == []


@pytest.mark.parametrize(
    "head", [None, "", "x", "1", "1 x", f"7 {START}", f"0 {'1' * 64}", "-1 ", "99999999999999999999 x", "가"]
)
def test_a_swapped_head_is_found(folder, head):
    history(folder, [("add", "stage", 1), ("add", "stage", 2)])
    path = folder / "head"
    if head is None:
        path.unlink()
    else:
        path.write_text(head, "utf-8")
    assert findings(folder)[0].kind == "chain_cut"
    opened(folder).close()
    assert findings(folder)[0].kind == "chain_cut"


def test_a_head_that_a_crash_left_behind_is_mended(folder):
    opened(folder).close()
    first = (folder / "head").read_text()
    history(folder, [("add", "stage", 1)])
    behind = (folder / "head").read_text()
    history(folder, [("add", "stage", 2)])
    ahead = (folder / "head").read_text()
    for old in (behind, first):
        (folder / "head").write_text(old)
        assert findings(folder) == []
        opened(folder).close()
        assert (folder / "head").read_text() == ahead != behind


def test_a_cut_tail_cannot_be_hidden_without_the_key(folder):
    """Whoever deletes the last event, and what it guards, has no seal for the head that is left."""
    history(folder, [("add", "stage", i) for i in (1, 2, 3)])
    raw(folder, "delete from stage where key=(select max(key) from stage)")
    raw(folder, "delete from event where seq=(select max(seq) from event)")
    ((seq, mac),) = raw(folder, "select seq, mac from event order by seq desc limit 1")
    seal = (folder / "head").read_text().split()[2]
    for head in (f"{seq} {mac}\n", f"{seq} {mac} {seal}\n", f"{seq} {mac} {mac}\n"):
        (folder / "head").write_text(head)
        assert "chain_cut" in kinds(folder)


def test_the_head_of_a_report_proves_the_past(folder):
    ledger = opened(folder)
    write(ledger, ("add", "stage", 1))
    seq, mac = ledger.head()
    write(ledger, ("add", "stage", 2))
    assert ledger.knows(seq, mac)
    assert ledger.knows(0, START)
    assert not ledger.knows(seq, mac[::-1])
    assert not ledger.knows(seq + 1, mac)
    assert not ledger.knows(7, mac)
    assert not ledger.knows(0, mac)
    ledger.close()


def test_the_order_of_shards_is_guarded(folder):
    """Shards are read in the order of their rows: another order is another data set."""
    history(folder, [("add", "shard", i) for i in (3, 1, 2)])
    for a, b in ((1, 9), (3, 1), (9, 3)):
        raw(folder, "update shard set rowid=? where rowid=?", b, a)
    assert findings(folder) == [Finding("rows_reordered", "shard")]


def test_tables_that_are_numbered_may_be_filled_in_any_order(folder):
    history(folder, [("add", "turn", i) for i in (3, 1, 2)])
    assert findings(folder) == []


def test_a_row_that_was_erased_may_come_again_but_not_by_hand(folder):
    history(folder, [("add", "stage", 1), ("erase", "stage", 1)])
    assert findings(folder) == []
    raw(folder, "insert into stage values('k1', 'n', 1, '{}')")
    assert findings(folder) == [Finding("row_changed", 'stage ["k1"]')]
    raw(folder, "delete from stage")
    history(folder, [("add", "stage", 2), ("add", "stage", 1)])
    assert findings(folder) == []


def test_findings_say_where(folder):
    history(folder, [("add", "stage", 1), ("add", "stage", 2), ("add", "question", 1)])
    raw(folder, "update stage set turn=5 where key='k1'")
    raw(folder, "delete from stage where key='k2'")
    raw(folder, "delete from question")
    assert findings(folder) == [
        Finding("row_changed", 'stage ["k1"]'),
        Finding("row_lost", 'stage ["k2"]'),
        Finding("row_lost", 'question [{"b": "01010101010101010101010101010101"}]'),
    ]
    raw(folder, "update event set kind='x' where seq=2")
    assert findings(folder) == [Finding("chain_broken", "event 2")]


def test_what_may_differ_is_no_part_of_a_rows_digest():
    row = {"n": 1, "started": "a", "pid": 1}
    assert row_digest("turn", row) == row_digest("turn", row | {"started": "b", "pid": 2})
    assert row_digest("turn", row) != row_digest("turn", row | {"n": 2})
    assert row_digest("stage", row) != row_digest("stage", row | {"pid": 2})
    assert row_digest("turn", {"n": 1, "a": b"\x01"}) != row_digest("turn", {"n": 1, "a": "01"})
    assert (
        subject_of("look", {"exam": 1, "candidate": b"\x02", "champion": "가", "turn": 3})
        == '[1, {"b": "02"}, "가"]'
    )


# ------------------------------------------------------------------ writing


def test_a_change_is_whole_or_not_at_all(folder):
    ledger = opened(folder)

    def add(times, error):
        with ledger.change("x"):
            for _ in range(times):
                ledger.add("stage", **MADE["stage"](1))
            raise error

    with pytest.raises(KeyError):
        add(1, KeyError())
    assert ledger.rows("select * from stage") == []
    assert ledger.head() == (0, START)
    with pytest.raises(sqlite3.IntegrityError):
        add(2, KeyError())
    with pytest.raises(sqlite3.OperationalError), ledger.change("outer"), ledger.change("inner"):
        pass
    write(ledger, ("add", "stage", 1))
    assert ledger.value("select count(*) from stage") == 1
    ledger.close()


def test_a_commit_that_fails_leaves_nothing_open(folder, monkeypatch):
    ledger = opened(folder)
    with monkeypatch.context() as patched:
        patched.setattr(module.fault, "commit", lambda db, what: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write(ledger, ("add", "stage", 1))
    write(ledger, ("add", "stage", 1))
    assert ledger.verify() == []
    ledger.close()


def test_what_is_not_there_cannot_be_changed(folder):
    ledger = opened(folder)
    write(ledger, ("add", "stage", 1))
    for step in (("amend", "stage", 2), ("erase", "stage", 2)):
        with pytest.raises(Damaged) as caught:
            write(ledger, step)
        assert caught.value.key == "row_is_gone"
        assert str(caught.value)
    with pytest.raises(Damaged), ledger.change("renamed"):
        ledger.amend("stage", {"key": "k1"}, key="k9")
    with pytest.raises(Damaged), ledger.change("missed"):
        ledger.amend("stage", {"key": "k1", "turn": 99}, output="x")
    assert ledger.rows("select key, output from stage") == [{"key": "k1", "output": "{}"}]
    assert ledger.verify() == []
    ledger.close()


def test_an_erasure_is_keyed_by_the_row_not_by_its_spelling(folder):
    ledger = opened(folder)
    with ledger.change("number as text"):
        ledger.add("stage", key=5, name="n", turn=1, output="{}")
    with ledger.change("gone"):
        ledger.erase("stage", {"key": 5})
    assert ledger.verify() == []
    assert ledger.rows("select kind, subject, digest from event where seq=2") == [
        {"kind": "erased stage", "subject": '["5"]', "digest": START}
    ]
    ledger.close()


def test_reading(folder):
    ledger = opened(folder)
    write(ledger, ("add", "stage", 1))
    assert ledger.row("select * from stage where key=?", "k1")["turn"] == 1
    assert ledger.row("select * from stage where key=?", "k2") is None
    assert ledger.value("select turn from stage where key=?", "k1") == 1
    assert ledger.value("select turn from stage where key=?", "k2") is None
    ledger.close()


def test_verify_inside_a_change_sees_the_change(folder):
    ledger = opened(folder)
    with ledger.change("x"):
        ledger.add("stage", **MADE["stage"](1))
        assert ledger.verify() == []
    assert ledger.value("select count(*) from stage") == 1
    ledger.close()


# ------------------------------------------------------------------ opening


def test_a_reader_reads_while_a_writer_writes(tmp_path):
    folder = tmp_path / "50% #1?"
    writer = opened(history(folder, [("add", "stage", 1)]))
    reader = opened(folder, writing=False)
    with writer.change("open"):
        writer.add("stage", **MADE["stage"](2))
        assert reader.value("select count(*) from stage") == 1
        assert reader.verify() == []
    assert reader.value("select count(*) from stage") == 2
    assert reader.verify() == []
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        write(reader, ("add", "stage", 3))
    reader.close()
    writer.close()


def test_verify_sees_one_moment(folder, monkeypatch):
    """A writer that changes rows between two of verify's queries makes no finding."""
    writer = opened(history(folder, [("add", "stage", 1)]))
    reader = opened(folder, writing=False)
    whole = reader._verify_table

    def meanwhile(table, expected):
        if table == "stage":
            write(writer, ("amend", "stage", 1))
        return whole(table, expected)

    monkeypatch.setattr(reader, "_verify_table", meanwhile)
    assert reader.verify() == []
    reader.close()
    writer.close()


def test_a_newer_ledger_is_refused(folder):
    history(folder, [("add", "stage", 1)])
    raw(folder, f"pragma user_version={len(MIGRATIONS) + 1}")
    for writing in (True, False):
        with pytest.raises(Damaged) as caught:
            opened(folder, writing=writing)
        assert caught.value.key == "ledger_is_newer"
        assert caught.value.values == {"found": len(MIGRATIONS) + 1, "known": len(MIGRATIONS)}


@pytest.mark.parametrize(
    "statement",
    [
        "create table mine(a)",
        "create trigger slip after insert on look begin update turn set state='done'; end",
        "create index fast on event(at)",
        "pragma user_version=0",
    ],
)
def test_tables_and_triggers_of_others_are_found(folder, statement):
    opened(folder).close()
    raw(folder, statement)
    assert kinds(folder) == {"schema_changed"}
    raw(folder, f"pragma user_version={len(MIGRATIONS)}")
    raw(folder, "drop table cost")
    assert kinds(folder) == {"ledger_unreadable"}


def test_what_sqlite_keeps_for_itself_is_no_finding(folder):
    history(folder, [("add", "stage", 1)])
    raw(folder, "analyze")
    assert findings(folder) == []


def test_a_ledger_that_says_that_it_is_empty_is_not_written(folder):
    history(folder, [("add", "stage", 1)])
    raw(folder, "pragma user_version=0")
    with pytest.raises(Damaged) as caught:
        opened(folder)
    assert caught.value.key == "ledger_unreadable"


def test_migrations_go_on_from_where_they_are(folder, monkeypatch):
    history(folder, [("add", "stage", 1)])
    more = (*MIGRATIONS, "create table extra(a); insert into extra values(1);", "alter table extra add b")
    monkeypatch.setattr(module, "MIGRATIONS", more)
    for _ in range(2):
        ledger = opened(folder)
        assert ledger.rows("select * from extra") == [{"a": 1, "b": None}]
        assert ledger.value("pragma user_version") == len(more)
        assert ledger.verify() == []
        ledger.close()


def test_a_file_that_is_no_ledger(folder):
    history(folder, [("add", "stage", i) for i in range(6)])
    whole = (folder / "ledger.sqlite").read_bytes()
    (folder / "ledger.sqlite").write_bytes(b"not a database" * 300)
    for writing in (True, False):
        with pytest.raises(Damaged) as caught:
            opened(folder, writing=writing)
        assert caught.value.key == "ledger_unreadable"
    (folder / "ledger.sqlite").write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    assert kinds(folder) == {"ledger_unreadable"}


def test_durability_is_asked_for(folder):
    ledger = opened(folder)
    asked = {
        name: ledger.value(f"pragma {name}") for name in ("journal_mode", "synchronous", "secure_delete")
    }
    assert asked == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1}
    ledger.close()


def test_every_table_is_guarded_and_every_volatile_column_exists(folder):
    tables = set(re.findall(r"create table (\w+)", "".join(MIGRATIONS)))
    assert set(GUARDED) == tables - {"event"}
    opened(folder).close()
    for table, names in {**VOLATILE, **GUARDED}.items():
        assert set(names) <= set(columns(folder, table)), table
    assert not [t for t in GUARDED if set(GUARDED[t]) & set(VOLATILE.get(t, ()))]
