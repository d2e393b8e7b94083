"""The routes that speak JSON, whatever is sent; schemathesis asks more (benchmarks/rooms_bodies.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.serve.people.api import MOST
from bapsim.serve.people.roles import ROLES
from tests.serve.people.house import House, Visitor, house

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=300)
ANY = st.recursive(PLAIN, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(), one, max_size=3))
NEAR = st.fixed_dictionaries(
    {"role": st.sampled_from([*ROLES, "king"]) | ANY, "lang": st.sampled_from(["ko", "en"]) | ANY},
    optional={"domain": ANY, "more": ANY},
)


class There:
    """The house of this module; hypothesis prints what it is given, and this is short."""

    def __init__(self, home: House, owner: Visitor, token: str) -> None:
        self.home, self.owner, self.token = home, owner, token

    def __iter__(self) -> Iterator[Any]:
        return iter((self.home, self.owner, self.token))

    def __repr__(self) -> str:
        return "There"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    root = tmp_path_factory.mktemp("api")
    (root / "inbox").mkdir()
    with house(root, f"sqlite:///{root / 'people' / 'people.sqlite'}") as one:
        owner = one.owner()
        yield There(one, owner, owner.get("/people/api/me").json()["csrf"])


@given(body=NEAR | ANY)
def test_whatever_is_sent_is_done_or_refused(there: There, body: Any) -> None:
    home, owner, token = there
    home.unhurried()
    headers = {"x-csrf": token, "content-type": "application/json"}
    got = home.run(owner.http.post("/people/api/invites", content=json.dumps(body), headers=headers))
    fine = isinstance(body, dict) and body.get("role") in ROLES and body.get("lang") in ("ko", "en")
    if got.status_code == 200:
        assert fine
        assert set(body) <= {"role", "lang", "domain"}
        assert set(got.json()) == {"id", "link"}
    else:
        assert got.status_code == 422, got.text
        assert set(got.json()["error"]) == {"key", "where", "what", "next"}


@pytest.mark.parametrize("before", ["", "x", "-1", "1e3", str(MOST + 1), "9" * 40, "٣", "0x1"])
def test_a_number_is_a_number(there: There, before: str) -> None:
    home, owner, _ = there
    home.unhurried()
    assert owner.get("/people/api/audit", params={"before": before}).status_code == 422
    assert owner.get("/people/api/audit", params={"before": str(MOST)}).json()["items"]


def test_one_sees_all_that_is_ones_own(there: There) -> None:
    home, _, _ = there
    expert = home.expert("train")
    me = expert.get("/people/api/me").json()
    assert (me["id"], me["role"]) == (expert.id, "expert")
    (mine,) = expert.get("/people/api/consents").json()["items"]
    assert mine["id"] == me["consent"] == mine["receipt"]["terms"]["consent"]
    assert expert.get("/people/api/lines").json() == {"items": []}
    assert home.visitor().get("/people/api/me").json()["error"]["key"] == "sign_in"
