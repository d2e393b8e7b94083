"""Consent: what is signed, what is kept under it, what reaches the inbox, what is left of it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bapsim.core.errors import messages
from bapsim.gather.people import read_people
from bapsim.judge.pay import pay, understood
from bapsim.serve.people import consent, lines, publish, withdrawing
from bapsim.serve.people.schema import TABLES
from bapsim.serve.people.tables import consent as granted
from bapsim.serve.people.tables import line
from bapsim.serve.refused import Refused
from bapsim.store.sealing import verified
from bapsim.store.terms import parsed, read_terms, signed_body, withdrawals, write_withdrawal
from tests.serve.people.house import CONTROLLER, House, Visitor, until

RECIPE = """from bapsim.judge.pay import pay
from tests.wheel.people_world import staffed

recipe = staffed(pay=pay(hour="{hour}", bonus="{bonus}"))
"""
QUESTION = "0" * 31 + "1"


def add(home: House, given: str, said: str, *, approved: bool = True, **more: Any) -> str:
    """A reason of somebody's."""
    body = {"text": said, "parents": [QUESTION]}
    keys = home.rooms.keys
    return home.rooms.database.change(
        lambda c: lines.add(c, keys, given, "rationale", body, approved=approved, **more)
    )


def published(home: House, given: str) -> list[dict[str, Any]]:
    path = publish.path_of(home.rooms.inbox, given)
    return [json.loads(one) for one in path.read_text("utf-8").splitlines()] if path.exists() else []


def test_what_is_signed_can_be_verified_by_anybody(home: House) -> None:
    expert = home.person("expert", lang="ko")
    page = expert.get("/people/consent").text
    assert "밥심 은행" in page
    assert " checked" not in page, "nothing is ticked in advance"
    more = {"never_synthesise": "on", "embargo": "2026-12-24", "expires": "2099-01-01", "confidential": "on"}
    given = expert.consent("train", "evaluate", secret_owner="밥심 은행", **{**more, "employer": "cleared"})
    terms = read_terms(home.rooms.inbox)[given]
    assert terms.scope == {"train", "evaluate"}
    assert (terms.never_synthesise, terms.confidential, terms.employer) == (True, True, "cleared")
    assert (str(terms.embargo), str(terms.expires)) == ("2026-12-24", "2099-01-01")
    got = expert.get(f"/people/consent/{given}/receipt")
    assert "attachment" in got.headers["content-disposition"]
    receipt = got.json()
    again = parsed(receipt["terms"])
    assert again == terms
    assert verified(receipt["public_key"], signed_body(again), str(again.signature))
    changed = parsed({**receipt["terms"], "scope": ["train", "evaluate", "publish_text"]})
    assert not verified(receipt["public_key"], signed_body(changed), str(again.signature))
    assert again.notice["sha256"] == consent.digest_of(consent.notice(CONTROLLER, "ko"))
    record = again.record
    for name in ("schema_version", "record_id", "pii_principal_id", "pii_processing", "events"):
        assert record[name]
    assert [one["purpose"] for one in record["pii_processing"]["purposes"]] == ["train", "evaluate"]
    mandatory = (
        "pii_information",
        "pii_controllers",
        "storage_locations",
        "retention_period",
        "jurisdiction",
    )
    for one in record["pii_processing"]["purposes"]:
        assert all(one[name] for name in (*mandatory, "withdrawal_method", "lawful_basis"))
    assert home.rooms.database.look(lambda c: consent.standing(c, expert.id)) == given


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"scope": []}, 422),
        ({"scope": ["rule the world"]}, 422),
        ({"read": None}, 422),
        ({"employer": None}, 422),
        ({"employer": "perhaps"}, 422),
        ({"licence": "mine"}, 422),
        ({"scope": ["synthesise"], "never_synthesise": "on"}, 422),
        ({"embargo": "tomorrow"}, 422),
        ({"expires": "2001-01-01"}, 422),
        ({"embargo": "2031-01-01", "expires": "2030-01-01"}, 422),
        ({"secret_owner": "x" * 301}, 422),
        ({"digest": "0" * 64}, 409),
    ],
)
def test_what_cannot_be_signed(home: House, changes: dict[str, Any], status: int) -> None:
    expert = home.person("expert")
    page = expert.get("/people/consent").text
    digest = re.search(r'name="digest" value="(\w+)"', page)
    assert digest
    sent = {"digest": digest[1], "scope": ["train"], "employer": "none", "licence": "CC0-1.0", "read": "on"}
    sent |= {"revocable": "yes", "_csrf": expert.form_token("/people/consent"), **changes}
    got = expert.send("/people/consent", {k: v for k, v in sent.items() if v is not None})
    assert got.status_code == status
    assert home.rooms.database.look(lambda c: consent.standing(c, expert.id)) is None


def test_the_rule_of_pay_is_shown_signed_and_kept(home: House) -> None:
    """Who consents reads what they will be owed; a later rule is not theirs, nor is one signed unseen."""
    late = home.person("expert")
    unseen = re.search(r'name="digest" value="(\w+)"', late.get("/people/consent").text)
    assert unseen
    signed = {}
    for rule in (pay(hour="36,000 KRW", bonus="600 KRW"), pay(hour="1,000 KRW")):
        said = RECIPE.format(hour=rule.hour, bonus=rule.bonus)
        (home.rooms.root / "recipe.py").write_text(said, "utf-8")
        sys.modules.pop("recipe", None)  # the service starts anew: it has the recipe that it began with
        expert = home.person("expert", lang="ko")
        assert f"시간당 {rule.hour.amount} KRW" in expert.get("/people/consent").text
        signed[expert.consent("train")] = rule
    terms = read_terms(home.rooms.inbox)
    for given, rule in signed.items():
        assert terms[given].record["compensation_rule_id"] == rule.id
        assert understood(terms[given].record["compensation_rule"]) == rule
        assert terms[given].notice["sha256"] == consent.digest_of(consent.notice(CONTROLLER, "ko", rule))
    sent = {"scope": "train", "employer": "none", "licence": "CC0-1.0", "read": "on", "revocable": "yes"}
    assert late.post("/people/consent", digest=unseen[1], **sent).status_code == 409


def test_without_somebody_who_answers_for_it_nobody_can_consent(home: House) -> None:
    home.rooms.database.change(lambda c: consent.set_controller(c, consent.Controller()))
    expert = home.person("expert")
    page = expert.get("/people/consent").text
    assert 'name="scope"' not in page
    assert expert.post("/people/consent", digest="x", scope="train").status_code == 409
    owner = home.person("owner")
    told = {"name": "n", "contact": "c", "jurisdiction": "KR", "storage": "s", "retention": "r", "pay": ""}
    assert owner.post("/people/notice", **told).status_code == 303
    assert 'name="scope"' in expert.get("/people/consent").text


def test_the_notice_is_there_in_both_languages() -> None:
    for lang in ("ko", "en"):
        shown = consent.notice(CONTROLLER, lang)
        assert len(shown) == len(consent.SECTIONS)
        assert all(head and len(body) > 5 for head, body in shown)
        assert "30,000 KRW an hour" in shown[-1][1]
    prefix = f"notice.{consent.VERSION}."
    assert {
        key.removeprefix(prefix).removesuffix(".head") for key in messages() if key.startswith(prefix)
    } == {*consent.SECTIONS}


def test_what_is_approved_reaches_the_inbox_and_nothing_else(home: House) -> None:
    expert = home.expert("train")
    given = home.rooms.database.look(lambda c: consent.standing(c, expert.id))
    assert given is not None
    draft = add(home, given, "초안 카나리", approved=False, dialogue="d-aaaaaaaaaa/1")
    sent = add(home, given, "승인 카나리")
    found = until(lambda: published(home, given))
    assert [one["id"] for one in found] == [sent]
    assert {"id", "kind", "person", "at", "approved", "text"} <= set(found[0])
    assert found[0]["person"] == expert.id
    database, keys = home.rooms.database, home.rooms.keys
    database.change(lambda c: lines.edit(c, keys, draft, {"text": "고친 초안", "parents": [QUESTION]}))
    database.change(lambda c: lines.approve(c, draft))
    found = until(lambda: published(home, given), lambda now: len(now) == 2)
    assert found[0]["text"] == "고친 초안", "in the order in which it was said"
    assert found[0]["dialogue"] == "d-aaaaaaaaaa/1"
    (said,) = read_people(home.rooms.inbox).values()
    assert [one.kind for one in said] == ["rationale", "rationale"]
    for work in (lambda c: lines.approve(c, draft), lambda c: lines.edit(c, keys, draft, {})):
        with pytest.raises(Refused, match="draft"):
            database.change(work)
    assert expert.post(f"/people/me/lines/{sent}/undo").status_code == 303
    assert expert.post(f"/people/me/lines/{sent}/undo").status_code == 409
    assert home.expert("train").post(f"/people/me/lines/{draft}/undo").status_code == 404
    found = until(lambda: published(home, given), lambda now: len(now) == 1)
    third = add(home, given, "버릴 초안", approved=False)
    database.change(lambda c: lines.undo(c, third))
    assert "고친 초안" in expert.get("/people/me").text
    dump = database.look(_dump)
    assert not [said for said in ("카나리", "고친 초안", "버릴 초안") if said.encode() in dump]


def _dump(connection: sa.Connection) -> bytes:
    """All cells of all tables."""
    found = b""
    for table in TABLES:
        for row in connection.execute(sa.select(table)):
            found += b"|".join(v if isinstance(v, bytes) else str(v).encode() for v in row)
    return found


def test_what_lags_behind_is_published_at_the_next_look(home: House) -> None:
    """As after a kill between the commit and the file, or while the file was written."""
    expert = home.expert("train")
    given = home.rooms.database.look(lambda c: consent.standing(c, expert.id))
    assert given is not None
    add(home, given, "먼저")
    until(lambda: published(home, given))
    path = publish.path_of(home.rooms.inbox, given)
    path.unlink()
    publish.terms_path(home.rooms.inbox, given).unlink()
    home.rooms.database.change(lambda c: c.execute(granted.update().values(published=0)))
    assert until(lambda: published(home, given))[0]["text"] == "먼저"
    assert given in read_terms(home.rooms.inbox)


def files_with(root: Path, said: str) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and said.encode() in p.read_bytes()]


def test_nothing_is_left_of_what_was_withdrawn(home: House) -> None:
    expert, other = home.expert("train"), home.expert("train")
    given = home.rooms.database.look(lambda c: consent.standing(c, expert.id))
    theirs = home.rooms.database.look(lambda c: consent.standing(c, other.id))
    assert given is not None
    assert theirs is not None
    add(home, given, "철회카나리 하나")
    add(home, given, "철회카나리 둘", approved=False)
    add(home, theirs, "남는 말")
    until(lambda: published(home, given) and published(home, theirs))
    assert files_with(home.rooms.root, "철회카나리")
    half = publish.path_of(home.rooms.inbox, given)
    half.with_name(half.name + ".tmp").write_text("철회카나리, by a publisher that was killed", "utf-8")
    sealed = home.rooms.database.look(
        lambda c: c.execute(sa.select(line.c.body).where(line.c.consent == given)).scalars().all()
    )
    assert "withdraw" in expert.get("/people/me").text
    assert expert.get(f"/people/consent/{given}/withdraw").status_code == 200
    assert expert.post(f"/people/consent/{given}/withdraw").status_code == 303
    assert expert.post(f"/people/consent/{given}/withdraw").status_code == 303, "twice is once"
    assert given in withdrawals(home.rooms.inbox)
    assert withdrawals(home.rooms.inbox)[given].by == expert.id
    assert not files_with(home.rooms.root, "철회카나리")
    assert not home.rooms.keys.has(given)
    dump = home.rooms.database.look(_dump)
    assert not [one for one in sealed if one in dump]
    assert home.rooms.database.look(lambda c: consent.standing(c, expert.id)) is None
    with pytest.raises(Refused, match="consent"):
        add(home, given, "zu spät")
    assert not published(home, given)
    assert published(home, theirs)[0]["text"] == "남는 말"
    page = expert.get("/people/me").text
    assert "badge off" in page
    assert given in page, "that there was a consent is kept, to show that there was"
    did = home.rooms.database.look(
        lambda c: c.execute(sa.text("select what, subject from audit where what='withdrawn'")).all()
    )
    assert [tuple(one) for one in did] == [("withdrawn", given)]


def test_under_a_rule_of_pay_the_times_wait_for_the_wheel_and_no_word(home: House) -> None:
    """Who withdraws before a turn has met their lines is owed for the time; nothing else of them waits. Also
    where they consented before there was a rule.
    """
    expert = home.expert("train")
    (home.rooms.root / "recipe.py").write_text(RECIPE.format(hour="36000 KRW", bonus="0 KRW"), "utf-8")
    sys.modules.pop("recipe", None)
    given = home.rooms.database.look(lambda c: consent.standing(c, expert.id))
    assert given is not None
    add(home, given, "철회카나리")
    until(lambda: published(home, given))
    path = publish.path_of(home.rooms.inbox, given)
    path.write_bytes(path.read_bytes() + b"[1]\n\xff\n")
    assert expert.post(f"/people/consent/{given}/withdraw").status_code == 303
    assert not files_with(home.rooms.root, "철회카나리")
    (left,) = published(home, given)
    assert set(left) <= set(publish.TIMES)
    assert left["person"] == expert.id


def test_a_withdrawal_by_other_means_reaches_the_rooms(home: House) -> None:
    """A tombstone that the command line wrote, or that a killed service left."""
    expert = home.expert("train")
    given = home.rooms.database.look(lambda c: consent.standing(c, expert.id))
    assert given is not None
    add(home, given, "다른 길로")
    until(lambda: published(home, given))
    write_withdrawal(home.rooms.inbox, given, expert.id, "somebody")
    until(lambda: home.rooms.database.look(lambda c: consent.standing(c, expert.id)), lambda now: now is None)
    until(lambda: not publish.path_of(home.rooms.inbox, given).exists())
    assert not home.rooms.keys.has(given)


def test_the_wheel_is_told_and_tried_again(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    expert = home.expert("train")
    given = home.rooms.database.look(lambda c: consent.standing(c, expert.id))
    assert given is not None
    answers = iter(["waiting", "broken", "done"])
    monkeypatch.setattr(withdrawing, "EACH", 0.05)
    monkeypatch.setattr(withdrawing, "_by_the_wheel", lambda rooms, one: next(answers, "done"))
    assert expert.post(f"/people/consent/{given}/withdraw").status_code == 303

    def state() -> str:
        query = sa.select(granted.c.erasure).where(granted.c.id == given)
        return str(home.rooms.database.look(lambda c: c.execute(query).scalar()))

    until(state, lambda now: now == "done")


def test_expired_consents_take_nothing_more(home: House) -> None:
    expert = home.expert("train")
    given = home.rooms.database.look(lambda c: consent.standing(c, expert.id))
    query = sa.select(granted.c.terms).where(granted.c.id == given)
    terms = json.loads(str(home.rooms.database.look(lambda c: c.execute(query).scalar())))
    old = json.dumps({**terms, "expires": "2020-01-01"})
    home.rooms.database.change(lambda c: c.execute(granted.update().values(terms=old)))
    assert home.rooms.database.look(lambda c: consent.standing(c, expert.id)) is None
    newer = expert.consent("train", "evaluate")
    assert newer != given


def test_two_sign_at_once(home: House) -> None:
    """Many consents in one group of writes; each its own, in the audit log one after the other."""
    experts = [home.person("expert") for _ in range(6)]

    async def sign(one: Visitor) -> int:
        page = (await one.http.get("/people/consent")).text
        digest = re.search(r'name="digest" value="(\w+)"', page)
        token = re.search(r'name="_csrf" value="(\w+)"', page)
        assert digest
        assert token
        sent = {"digest": digest[1], "_csrf": token[1], "scope": ["train"], "employer": "none", "read": "on"}
        sent |= {"licence": "CC0-1.0", "revocable": "yes"}
        return (await one.http.post("/people/consent", data=sent)).status_code

    async def all_of() -> list[int]:
        return list(await asyncio.gather(*(sign(one) for one in experts)))

    assert home.run(all_of()) == [303] * 6
    assert len(read_terms(home.rooms.inbox)) == 6
    assert "온전" in home.person("auditor", lang="ko").get("/people/audit").text
