"""Who may do what: every route as every role, against a matrix that is written down here once more.

A route that is not in this matrix fails; a role that is not named beside a route is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute

from bapsim.serve.people import consent
from bapsim.serve.people.roles import ROLES
from bapsim.serve.people.routes import DOORS
from tests.serve.people.house import House, Visitor, house

EVERYBODY = {*ROLES}
GIVING = {"owner", "curator", "expert"}
MATRIX: dict[str, set[str]] = {
    "GET /people": EVERYBODY,
    "GET /people/sign-in": {"nobody", *EVERYBODY},
    "POST /people/sign-in": {"nobody", *EVERYBODY},
    "POST /people/sign-out": EVERYBODY,
    "GET /people/in/{token}": {"nobody", *EVERYBODY},
    "POST /people/in/{token}": {"nobody", *EVERYBODY},
    "GET /people/me": EVERYBODY,
    "POST /people/me": EVERYBODY,
    "POST /people/me/password": EVERYBODY,
    "POST /people/me/sign-out": EVERYBODY,
    "POST /people/me/lines/{line}/undo": GIVING,
    "GET /people/consent": GIVING,
    "POST /people/consent": GIVING,
    "GET /people/consent/{consent}/receipt": EVERYBODY,
    "GET /people/consent/{consent}/withdraw": EVERYBODY,
    "POST /people/consent/{consent}/withdraw": EVERYBODY,
    "GET /people/notice": {"owner"},
    "POST /people/notice": {"owner"},
    "GET /people/persons": {"owner"},
    "POST /people/persons": {"owner"},
    "POST /people/persons/{person}/reset": {"owner"},
    "POST /people/persons/{person}/revoke": {"owner"},
    "GET /people/desk": GIVING,
    "POST /people/desk": {"owner", "curator"},
    "POST /people/desk/likely": {"owner", "curator"},
    "GET /people/desk/{job}": GIVING,
    "POST /people/desk/{job}/say": GIVING,
    "POST /people/desk/{job}/skip": GIVING,
    "POST /people/desk/{job}/undo": GIVING,
    "POST /people/desk/{job}/confirm": GIVING,
    "GET /people/desk/{job}/picture/{item}": GIVING,
    "GET /people/desk/{job}/progress": {"owner", "curator"},
    "POST /people/desk/{job}/close": {"owner", "curator"},
    "POST /people/desk/{job}/guideline": {"owner", "curator"},
    "GET /people/desk/{job}/export/{format}": {"owner", "curator"},
    "GET /people/room": GIVING,
    "POST /people/room": GIVING,
    "GET /people/room/{dialogue}": GIVING,
    "POST /people/room/{dialogue}/say": GIVING,
    "GET /people/room/{dialogue}/end": GIVING,
    "POST /people/room/{dialogue}/end": GIVING,
    "POST /people/room/{dialogue}/reword": GIVING,
    "GET /people/room/{dialogue}/lines.json": GIVING,
    "GET /people/pay": GIVING,
    "POST /people/pay": GIVING,
    "GET /people/pay/statement.json": GIVING,
    "GET /people/appeals": {"owner"},
    "POST /people/appeals": {"owner"},
    "GET /people/audit": {"owner", "auditor"},
    "GET /people/events/{channel}": EVERYBODY,
    "GET /people/api/me": EVERYBODY,
    "GET /people/api/persons": {"owner"},
    "POST /people/api/invites": {"owner"},
    "GET /people/api/consents": EVERYBODY,
    "GET /people/api/lines": EVERYBODY,
    "GET /people/api/audit": {"owner", "auditor"},
}
ENDS = {"POST /people/sign-out", "POST /people/me/sign-out"}  # the session that they are tried with


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the whole walk, on SQLite: who may do what is no question to the database."""
    root = tmp_path_factory.mktemp("roles")
    (root / "inbox").mkdir()
    with house(root, f"sqlite:///{root / 'people' / 'people.sqlite'}") as one:
        yield one


@pytest.fixture(scope="module")
def visitors(home: House) -> dict[str, Visitor]:
    return {"nobody": home.visitor("10.1.0.1"), **{role: home.person(role) for role in ROLES}}


def test_every_route_is_a_door_and_in_the_matrix(home: House) -> None:
    doors = {door.name for door in DOORS}
    assert len(doors) == len(DOORS), "no route twice"
    assert doors == set(MATRIX)
    routes = {
        f"{method} {route.path}"
        for route in home.app.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert {one for one in routes if "/static/" not in one} == doors


@pytest.mark.parametrize("role", ["nobody", *ROLES])
def test_what_a_role_may(home: House, visitors: dict[str, Visitor], role: str) -> None:
    """Refused is refused before anything else is looked at; allowed may fail for what was sent."""
    for door in DOORS:
        who = visitors[role] if door.name not in ENDS or role == "nobody" else home.person(role)
        path = re.sub(r"\{\w+\}", "nothing", door.path)
        home.unhurried()
        if door.method == "GET":
            got = who.get(path)
        elif door.api is not None:
            got = home.run(who.http.post(path, json={}))
        else:
            got = who.send(path, {})
        allowed = role in MATRIX[door.name]
        refused = got.status_code == (403 if role != "nobody" else 401)
        to_sign_in = got.status_code == 303 and got.headers["location"].startswith("/people/sign-in")
        if role == "nobody" and not allowed:
            assert refused or to_sign_in, (door.name, got.status_code)
        elif not allowed:
            assert refused, (role, door.name, got.status_code)
            assert "role" in got.text, "because of the role, not of the form"
        elif door.method == "GET":
            assert got.status_code in (200, 404, 410), (role, door.name, got.status_code)
        else:
            assert got.status_code == 403, "the form has no token"
            assert "role" not in got.text.split("<main")[-1].split("</main")[0] or door.api


def test_other_peoples_things_are_not_there(home: House) -> None:
    one, other = home.expert("train"), home.person("expert")
    owner = home.person("owner")
    given = home.rooms.database.look(lambda c: consent.standing(c, one.id))
    for path in ("receipt", "withdraw"):
        assert one.get(f"/people/consent/{given}/{path}").status_code == 200
        assert other.get(f"/people/consent/{given}/{path}").status_code == 404
        assert owner.get(f"/people/consent/{given}/{path}").status_code == 200
    assert other.post(f"/people/consent/{given}/withdraw").status_code == 404
    assert "badge well" in one.get("/people/me").text


def test_a_new_file_of_the_package_is_served_by_name_only(home: House) -> None:
    who = home.visitor()
    assert who.get("/people/static/people.css").headers["content-type"].startswith("text/css")
    for path in ("/people/static/../shell.py", "/people/static/%2e%2e/shell.py", "/people/static/x.css"):
        assert who.get(path).status_code == 404
    assert "Zero-Clause BSD" in who.get("/people/static/htmx-LICENSE.txt").text
