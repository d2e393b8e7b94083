"""In and out: links, passwords, sessions, what is refused."""

from __future__ import annotations

import re

from tests.serve.people.house import PASSWORD, House


def test_the_owner_invites_an_expert(home: House) -> None:
    owner = home.owner()
    assert "Owner" not in owner.get("/people/persons").text, "the login is stored as a hash"
    made = owner.post("/people/persons", role="expert", lang="ko", domain="은행 <b>").text
    link = re.search(r'value="http://rooms.test(/people/in/[^"]+)"', made)
    assert link
    expert = home.visitor()
    page = expert.get(link[1]).text
    assert "은행 &lt;b&gt;" in page
    sent = {"login": "lee", "name": "이순신", "password": PASSWORD, "again": PASSWORD}
    assert expert.post(link[1], page=link[1], **sent).headers["location"] == "/people"
    assert expert.get("/people").status_code == 200
    assert "전문가입니다" in expert.get("/people").text, "in the language of the invitation"
    again = home.visitor()
    assert again.get(link[1]).status_code == 410, "a link works once"
    assert "이순신" in owner.get("/people/persons").text
    assert expert.get("/people/persons").status_code == 403
    assert expert.post("/people/sign-out").status_code == 303
    assert expert.get("/people").headers["location"] == "/people/sign-in"
    back = expert.post("/people/sign-in", login=" LEE ", password=PASSWORD)
    assert back.headers["location"] == "/people"


def test_consent_and_what_is_given(home: House) -> None:
    expert = home.expert("train", "evaluate", lang="ko")
    page = expert.get("/people/me").text
    assert "유효" in page
