"""What somebody hostile tries: forms of other sites, links twice, guesses, texts that run, leaks."""

from __future__ import annotations

import html
import logging
import re
import time
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bapsim.serve.people import doors, invites, lines, passwords, persons, sessions, texts
from bapsim.serve.people.names import hashed
from bapsim.serve.people.tables import attempt, audit, invite, session
from bapsim.serve.refused import Refused
from tests.serve.people.corpus import HOSTILE
from tests.serve.people.house import PASSWORD, House, token_in

DANGEROUS = {"script", "iframe", "svg", "img", "style", "meta", "hx-partial", "object", "embed", "base"}


class Tags(HTMLParser):
    """Tags and attributes of a page that no template of ours has."""

    def __init__(self) -> None:
        super().__init__()
        self.odd: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        ours = tag == "script" and (said.get("src") or "").startswith("/people/static/")
        ours |= tag == "meta" and said.get("name") in ("viewport", "color-scheme", "htmx-config")
        ours |= tag == "meta" and "charset" in said
        if tag in DANGEROUS and not ours:
            self.odd.append(tag)
        self.odd += [name for name in said if name.startswith(("on", "style"))]
        self.odd += [f"{name}={v}" for name, v in attrs if name in ("href", "src", "action") and _runs(v)]
        self.odd += [name for name in said if name.startswith("hx-") and name != "hx-headers:inherited"]


def _runs(address: str | None) -> bool:
    return address is not None and not address.startswith(("/people", "#", "?", "http://rooms.test/"))


def odd_tags(page: str) -> list[str]:
    tags = Tags()
    tags.feed(page)
    return tags.odd


# ---------------------------------------------------------------- texts that run


def test_nothing_that_people_write_runs(home: House) -> None:
    """Every field of every form that there is, shown wherever it is shown."""
    owner = home.owner()
    for n, said in enumerate(HOSTILE):
        home.unhurried()
        made = owner.post("/people/persons", role="expert", lang="en", domain=said[:200])
        assert made.status_code == 200, (said, made.text)
        link = re.search(r'value="http://rooms.test(/people/in/[^"]+)"', made.text)
        assert link
        who = home.visitor(f"10.2.0.{n}")
        assert odd_tags(who.get(link[1]).text) == []
        sent = {"login": f"{n}{said}"[:80], "name": said[:80], "email": said[:80]}
        sent |= {"password": PASSWORD, "again": PASSWORD}
        assert who.post(link[1], page=link[1], **sent).status_code == 303, said
        who.id = who.get("/people/api/me").json()["id"]
        given = who.consent("train", secret_owner=said, employer="cleared")
        body = {"said": said, "comment": said, said: said}
        work = partial(lines.add, keys=home.rooms.keys, given=given, kind=said[:20], body=body, approved=True)
        home.rooms.database.change(work)
        for path in ("/people/me", "/people", "/people/consent"):
            assert odd_tags(who.get(path).text) == []
    home.unhurried()
    changed = {name: HOSTILE[i] for i, name in enumerate(("name", "contact", "storage", "retention", "pay"))}
    assert owner.post("/people/notice", jurisdiction=HOSTILE[8], **changed).status_code == 303
    pages = ["/people/persons", "/people/notice", "/people/consent", "/people/audit", "/people/me"]
    pages += [f"/people/sign-in?next={html.escape(HOSTILE[2])}", f"/people/audit?before={HOSTILE[0]}"]
    for path in pages:
        page = owner.get(path).text
        assert odd_tags(page) == [], path
    assert "&lt;script&gt;window.pwned" in owner.get("/people/persons").text
    wrong = owner.post("/people/persons", role=HOSTILE[0], lang="en")
    assert (wrong.status_code, odd_tags(wrong.text)) == (422, [])


def test_pages_say_what_they_may_load(home: House) -> None:
    for path in ("/people/sign-in", "/people", "/people/nothing-there/in"):
        got = home.visitor().get(path)
        if got.status_code == 404:
            continue
        policy = got.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["cache-control"] == "no-store"
    templates = Path(doors.__file__).parent / "pages"
    for path in templates.iterdir():
        body = path.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son\w+=|\|\s*safe", body), path.name


# ---------------------------------------------------------------- forms of others


def test_a_form_of_another_site_is_refused(home: House) -> None:
    owner = home.owner()
    sent = {"role": "expert", "lang": "en", "domain": ""}
    good = {"_csrf": owner.form_token("/people/persons"), **sent}
    assert owner.send("/people/persons", sent).status_code == 403
    assert owner.send("/people/persons", {**good, "_csrf": "0" * 64}).status_code == 403
    other = home.person("owner")
    assert other.send("/people/persons", good).status_code == 403, "the token of another session"
    for origin in ("https://evil.example", "null", "http://rooms.test.evil.example"):
        got = owner.send("/people/persons", good, headers={"origin": origin})
        assert got.status_code == 403, origin
    assert owner.send("/people/persons", good, headers={"origin": "http://rooms.test"}).status_code == 200
    by_header = owner.send("/people/persons", sent, headers={"x-csrf": good["_csrf"], "hx-request": "true"})
    assert by_header.status_code == 200
    assert owner.get("/people/sign-out").status_code in (404, 405), "nothing is done by looking"


def test_signing_in_needs_a_form_of_ours(home: House) -> None:
    """Else another site could sign a visitor in as somebody of its own."""
    home.owner()
    who = home.visitor()
    assert who.send("/people/sign-in", {"login": "Owner Kim", "password": PASSWORD}).status_code == 403
    assert who.post("/people/sign-in", login="Owner Kim", password=PASSWORD).status_code == 303


# ---------------------------------------------------------------- links, sessions, passwords


def test_links_work_once_and_expire(home: House) -> None:
    def make(kind: str = "invite") -> str:
        def work(connection: sa.Connection) -> str:
            one = persons.add(connection, role="expert", lang="en", domain="", by=None)
            return invites.make(connection, kind, one)

        return home.rooms.database.change(work)

    who, token = home.visitor(), make()
    path = f"/people/in/{token}"
    sent = {"login": "a", "password": PASSWORD, "again": PASSWORD}
    for _ in range(3):
        assert who.get(path).status_code == 200, "to look at it does not use it up"
    assert who.post(path, page=path, **{**sent, "again": "x" * 12}).status_code == 422
    assert who.post(path, page=path, **{**sent, "password": "short", "again": "short"}).status_code == 422
    assert who.get(path).status_code == 200, "what was refused did not use it up"
    form = {"_csrf": who.form_token(path), **sent}
    second = home.visitor("10.0.0.2")
    form_2 = {"_csrf": second.form_token(path), **sent, "login": "b"}
    assert who.send(path, form).status_code == 303
    assert second.send(path, form_2).status_code == 410
    old = make()
    home.rooms.database.change(
        lambda c: c.execute(
            invite.update().where(invite.c.token == hashed(old)).values(expires=time.time() - 1)
        )
    )
    assert home.visitor().get(f"/people/in/{old}").status_code == 410
    for bad in ("x", "a" * 43, "%00", "가"):
        assert home.visitor().get(f"/people/in/{bad}").status_code in (404, 410)
    stored = home.rooms.database.look(lambda c: c.execute(sa.select(invite.c.token)).scalars().all())
    assert token not in stored
    taken = make()
    third = home.visitor("10.0.0.3")
    again = third.post(f"/people/in/{taken}", page=f"/people/in/{taken}", **{**sent, "login": " A "})
    assert again.status_code == 422, "a name that is taken, in other letters"
    assert third.get(f"/people/in/{taken}").status_code == 200


def test_a_session_is_new_at_every_entry(home: House) -> None:
    """A cookie that somebody planted before is worth nothing afterwards."""
    home.owner()
    who = home.visitor()
    who.get("/people/sign-in")
    planted = dict(who.http.cookies)
    assert who.post("/people/sign-in", login="Owner Kim", password=PASSWORD).status_code == 303
    mine = {k: v for k, v in who.http.cookies.items() if not k.endswith("-form")}
    assert not set(mine.values()) & set(planted.values())
    (name, token), *_ = mine.items()
    stored = home.rooms.database.look(lambda c: c.execute(sa.select(session.c.token)).scalars().all())
    assert token not in stored
    assert hashed(token) in stored
    assert (
        who.post("/people/sign-in", page="/people", login="Owner Kim", password=PASSWORD).status_code == 303
    )
    thief = home.visitor()
    thief.http.cookies.set(name, token)
    assert thief.get("/people").status_code == 303, "the one before has ended"
    set_cookie = who.post("/people/sign-in", page="/people", login="Owner Kim", password=PASSWORD)
    said = next(v for k, v in set_cookie.headers.multi_items() if k == "set-cookie").lower()
    assert "httponly" in said
    assert "samesite=lax" in said
    assert "path=/" in said


def test_sessions_end(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, expert = home.owner(), home.person("expert")
    assert expert.get("/people").status_code == 200
    home.rooms.database.change(
        lambda c: c.execute(session.update().where(session.c.person == expert.id).values(seen=1.0))
    )
    assert expert.get("/people").status_code == 303
    other = home.person("expert")
    assert owner.post(f"/people/persons/{other.id}/revoke").status_code == 303
    assert other.get("/people").status_code == 303
    assert owner.post(f"/people/persons/{other.id}/reset").status_code == 409
    mine = home.rooms.database.look(lambda c: persons.find(c, other.id))
    assert mine is not None
    assert mine.state == "gone"
    sent = {"old": PASSWORD, "password": "another long one", "again": "another long one"}
    assert (
        owner.post("/people/me/password", old="wrong wrong", password="x" * 12, again="x" * 12).status_code
        == 403
    )
    assert owner.post("/people/me/password", **sent).status_code == 303
    assert owner.get("/people").status_code == 303, "all sessions end with the password"
    assert owner.post("/people/sign-in", login="owner kim", password="another long one").status_code == 303
    monkeypatch.setattr(sessions, "LONGEST", 0.0)
    assert owner.get("/people").status_code == 303


def test_guessing_is_slowed_down(home: House) -> None:
    home.owner()
    who = home.visitor("10.3.0.1")
    for _ in range(persons.FAILURES["login"]):
        home.unhurried()
        got = who.post("/people/sign-in", login="Owner Kim", password="a guess at it")
        assert got.status_code == 403
        assert "not right" in got.text
    assert who.post("/people/sign-in", login="OWNER KIM", password=PASSWORD).status_code == 429
    elsewhere = home.visitor("10.3.0.2")
    got = elsewhere.post("/people/sign-in", login="Owner Kim", password=PASSWORD)
    assert got.status_code == 429, "the name is guarded, whoever guesses"
    home.rooms.database.change(lambda c: c.execute(attempt.update().values(at=time.time() - 1000)))
    assert elsewhere.post("/people/sign-in", login="Owner Kim", password=PASSWORD).status_code == 303
    nobody = home.visitor("10.3.0.3")
    for n in range(persons.FAILURES["address"]):
        home.unhurried()
        if n >= 3:  # the rest without the work of argon2
            home.rooms.database.change(
                lambda c: persons.failed(
                    c, {"address": persons.keyed(home.rooms.key, "address", "10.3.0.3")}, time.time()
                )
            )
        else:
            assert nobody.post("/people/sign-in", login=f"n{n}", password=PASSWORD).status_code == 403
    assert nobody.post("/people/sign-in", login="n99", password=PASSWORD).status_code == 429


def test_who_is_unknown_takes_as_long(home: House) -> None:
    """Nobody learns from the time that an answer takes who has an account."""
    home.owner()
    stored = home.run(passwords.hashed(PASSWORD))

    def seconds(one: str | None) -> float:
        begun = time.process_time()
        home.run(passwords.fits(one, "some other password"))
        return time.process_time() - begun

    seconds(None)
    known = min(seconds(stored) for _ in range(3))
    unknown = min(seconds(None) for _ in range(3))
    assert 0.5 < known / unknown < 2
    assert stored.startswith("$argon2id$")


def test_who_asks_too_often_waits(home: House) -> None:
    who = home.person("expert")
    home.unhurried()
    codes = [who.get("/people").status_code for _ in range(int(doors.RATE * doors.BURST) + 30)]
    assert codes[:50] == [200] * 50
    assert 429 in codes
    assert home.person("expert").get("/people").status_code == 200, "others do not wait"


# ---------------------------------------------------------------- sizes and forms


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a" * (65 << 10), "application/x-www-form-urlencoded", 413),
        (b"a=%ff", "application/x-www-form-urlencoded", 422),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a%d=1" % n for n in range(300)), "application/x-www-form-urlencoded", 422),
        (b"{}", "application/json", 415),
        (b"<x/>", "text/xml", 415),
        (b"nothing", "multipart/form-data", 422),
        (b"nothing", "multipart/form-data; boundary=x", 422),
    ],
)
def test_odd_bodies_are_refused(home: House, body: bytes, kind: str, status: int) -> None:
    owner = home.owner()
    token = owner.form_token("/people/persons")
    headers = {"content-type": kind, "x-csrf": token}
    got = home.run(owner.http.post("/people/persons", content=body, headers=headers))
    assert got.status_code == status, got.text


def test_uploads_are_few_and_small(home: House) -> None:
    owner = home.owner()
    token = owner.form_token("/people/persons")
    many = [("f", (f"{n}.txt", b"x")) for n in range(20)]
    large = [("f", ("a.txt", b"x" * (70 << 10)))]
    for files, status in ((many, 422), (large, 413)):
        work = owner.http.post("/people/persons", files=files, headers={"x-csrf": token})
        assert home.run(work).status_code == status


@pytest.mark.parametrize("said", ["a\0b", "a\x1bb", "\ud800", "", "   ", "x" * 81, None, 3])
def test_what_is_no_text_is_refused(said: Any) -> None:
    with pytest.raises(Refused):
        texts.clean(said, "name", 80)


def test_what_is_written_is_redacted() -> None:
    said, hits = texts.redacted("제 번호는 010-1234-5678이고 메일은 kim@bank.co.kr입니다")
    assert hits == 2
    assert "5678" not in said
    assert "kim@" not in said


# ---------------------------------------------------------------- leaks


def test_no_secret_is_logged_or_stored(home: House, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log, nor in clear in the database or a file, nor in the audit log."""
    caplog.set_level(logging.DEBUG)
    owner = home.owner()
    made = owner.post("/people/persons", role="expert", lang="ko", domain="은행").text
    link = re.search(r"/people/in/([^\"]+)", made)
    assert link
    expert = home.visitor()
    path = f"/people/in/{link[1]}"
    told = {"login": "login-canary", "name": "이름카나리", "email": "mail-canary@example.com"}
    expert.post(path, page=path, **told, password=PASSWORD, again=PASSWORD)
    expert.get("/people/in/another-token-canary")
    expert.post("/people/sign-in", page="/people", login="login-canary", password="password-canary")
    broken = home.rooms.database.submit(lambda c: c.execute(sa.text("select 'query-canary' from nowhere")))
    assert broken.exception(10) is not None
    token = next(v for k, v in expert.http.cookies.items() if not k.endswith("-form"))
    secrets = ["login-canary", "이름카나리", "mail-canary", PASSWORD, "password-canary", link[1], token]
    everything = "\n".join(
        f"{one.getMessage()}{one.exc_text or ''}" for one in caplog.records if one.name != "httpx"
    )
    for one in secrets:
        assert one not in everything
    rows = home.rooms.database.look(lambda c: [str(dict(r)) for r in c.execute(sa.select(audit)).mappings()])
    assert any("link_used" in row for row in rows)
    assert not [one for one in secrets if one in "".join(rows)]
    dump = home.rooms.database.look(_everything)
    assert not [one for one in secrets if one.encode() in dump]
    for file in (home.rooms.root / "people").rglob("*"):
        if file.is_file():
            assert not [one for one in secrets if one.encode() in file.read_bytes()], file


def _everything(connection: sa.Connection) -> bytes:
    from bapsim.serve.people.schema import TABLES

    found = b""
    for table in TABLES:
        for row in connection.execute(sa.select(table)):
            found += b"|".join(v if isinstance(v, bytes) else str(v).encode() for v in row)
    return found


def test_the_database_may_be_away(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    who = home.person("expert")

    def away(*_: Any) -> None:
        raise sa.exc.OperationalError("select secret", {}, RuntimeError("secret"))

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "whose", away)
        got = who.get("/people")
        assert (got.status_code, got.headers["retry-after"]) == (503, "1")
        assert "secret" not in got.text
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "whose", lambda *_: 1 / 0)
        assert who.get("/people").status_code == 500
    assert who.get("/people").status_code == 200


def test_a_form_token_is_found_in_every_form(home: House) -> None:
    owner = home.owner()
    for path in ("/people", "/people/me", "/people/persons", "/people/notice", "/people/consent"):
        page = owner.get(path).text
        assert page.count('method="post"') == page.count('name="_csrf"'), path
        assert token_in(page)
