"""An expert withdraws in the service after a turn learnt from what they said: rooms, keys, wheel.

On Postgres; the first story in a browser (`test_story`) does it on SQLite.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from bapsim.serve.people import publish
from bapsim.serve.people.room_tables import dialogue, effect, position, step
from bapsim.serve.people.schema import WORDS
from bapsim.serve.people.tables import consent as granted
from bapsim.store.project import opened
from bapsim.store.sealing import is_sound
from bapsim.wheel.tainting import newest_clean, stained
from tests.cli.conftest import run, said
from tests.scanner import scan
from tests.serve.people.house import House, until
from tests.serve.people.talks import Guest

CANARIES = ["zq41kestrel9907", "zq42heron7731"]


def spoken(home: House, canary: str) -> Guest:
    """A dialogue with a reason in the expert's own words, approved and published."""
    expert = home.expert("train", "evaluate")
    one = Guest(home, expert).begin()
    while one.question is not None and one.question.kind != "reason":
        one.answer()
    one.say(said=f"because whoever says {canary} means a lost card, not a loan")
    one.topic()
    if one.question is not None:
        one.stop()
    sent = {"line": one.drafts()}
    assert expert.post(f"{one.path}/end", page=f"{one.path}/end", **sent).status_code == 303
    file = publish.path_of(home.rooms.inbox, str(one.talk.row["consent"]))
    until(lambda: file.exists() and canary in file.read_text("utf-8"))
    return one


def rows_under(home: House, given: str) -> dict[str, int]:
    """Rows of all rooms under a consent, by table."""

    def look(connection: sa.Connection) -> dict[str, int]:
        counts = {
            one.name: connection.execute(
                sa.select(sa.func.count()).select_from(one).where(one.c.consent == given)
            ).scalar()
            for one in WORDS
        }
        return {name: int(count) for name, count in counts.items() if count}

    return home.rooms.database.look(look)


def in_the_clear(url: str, known: str) -> set[str]:
    """Canaries that stand in any file of the server, what a table has deleted and its log kept among it;
    known: what must be found there.
    """
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("checkpoint"))
        place = Path(str(connection.execute(sa.text("show data_directory")).scalar()))
    engine.dispose()
    bodies = [path.read_bytes() for path in place.rglob("*") if path.is_file()]
    assert any(known.encode() in one for one in bodies)
    return {one for one in CANARIES for body in bodies if one.encode() in body}


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_one_click_reaches_rooms_keys_records_models_and_reports(lesson: House, url: str) -> None:
    root: Path = lesson.rooms.root
    mine, theirs = (spoken(lesson, one) for one in CANARIES)
    given, other = (str(one.talk.row["consent"]) for one in (mine, theirs))
    run("-C", root, "turn")
    with opened(root, writing=False) as project:
        query = "select count(*) from descendant where consent=?"
        rested = [int(project.ledger.value(query, one)) for one in (given, other)]
    assert all(rested), "a turn took in what both approved"
    before = {one: rows_under(lesson, one) for one in (given, other)}
    assert {dialogue.name, step.name, position.name, effect.name} <= set(before[given])
    assert scan(root / "wheel" / "records", CANARIES[:1])
    assert lesson.rooms.keys.has(given)

    path = f"/people/consent/{given}/withdraw"
    assert mine.who.post(path, page=path, sure="on").status_code == 303
    state = sa.select(granted.c.erasure).where(granted.c.id == given)
    until(lambda: lesson.rooms.database.look(lambda c: c.execute(state).scalar()) == "done", seconds=60.0)

    assert rows_under(lesson, given) == {}
    assert rows_under(lesson, other) == before[other], "what others said is theirs"
    assert not lesson.rooms.keys.has(given)
    assert lesson.rooms.keys.has(other)
    assert in_the_clear(url, other) == set(), "the database has sealed words alone"
    left = scan(root, CANARIES)
    assert {name for _, name in left} == {CANARIES[1]}
    assert "wheel/records" in {"/".join(file.split("/")[:2]) for file, _ in left}
    report = json.loads((root / "reports" / "withdrawals" / given / "report.json").read_text("utf-8"))
    assert is_sound(report)
    body = report["body"]
    assert body["state"] == "done"
    assert body["by"] == mine.who.id
    assert sum(body["records"].values()) == rested[0]
    models = {one["name"]: one["state"] for one in body["consumers"] if one["kind"] == "model"}
    assert models["t001-people"] == "clean"
    assert "tainted" in models.values()
    assert not re.search("unlearn", json.dumps(body), re.I)
    shown = said("-C", root, "show")["withdrawn"]
    assert [one["consent"] for one in shown["consents"]] == [given]
    with opened(root) as project:
        assert newest_clean(project.ledger) == "t001-people"
    run("-C", root, "turn")
    with opened(root, writing=False) as project:
        assert stained(project.ledger) is None, "the model without it, or the last proven one, serves"
        now = str(project.ledger.value("select version from used order by n desc limit 1"))
    assert now == "t001-people" or now not in models
