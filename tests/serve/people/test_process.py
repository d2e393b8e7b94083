"""The rooms in real processes: with and without a model, several workers, TLS, ends and kills, the verb."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from bapsim.serve.people.database import Database, url_of
from bapsim.serve.people.tables import person
from tests.cli.conftest import run, said
from tests.serve.people.house import PASSWORD, token_in
from tests.serve.world import Running, copied, serving, until


def signed_in(root: Path, http: httpx.Client) -> dict[str, Any]:
    """The owner, by the link that the verb prints; who it is."""
    link = said("-C", root, "people")["link"]
    path = "/people/in/" + link.rsplit("/", 1)[1]
    token = token_in(http.get(path).text)
    sent = {"_csrf": token, "login": "owner", "password": PASSWORD, "again": PASSWORD}
    assert http.post(path, data=sent).status_code == 303
    found: dict[str, Any] = http.get("/people/api/me").json()
    return found


def test_rooms_open_before_there_is_a_model(fresh: Path, tmp_path: Path) -> None:
    root = copied(fresh, tmp_path / "bank")
    said("-C", root, "people")
    with serving(root) as running:
        assert running.refused(status=503, json={"text": "a"})["key"] == "no_model"
        health = running.http.get("/health")
        assert (health.status_code, health.json()["serves"]) == (200, None)
        assert running.http.get("/").headers["location"] == "/people"
        assert running.http.get("/metrics").status_code == 200
        me = signed_in(root, running.http)
        assert me["role"] == "owner"
        assert said("-C", root, "people")["link"].startswith(running.url)
        assert running.http.get("/people/persons").status_code == 200
        first = said("-C", root, "people")["link"]
        said("-C", root, "people")
        assert running.http.get("/people/in/" + first.rsplit("/", 1)[1]).status_code == 410, "the last counts"
    assert running.process.returncode == 0


def test_a_service_with_a_model_has_rooms_beside_it(text: Path, tmp_path: Path) -> None:
    """And a service ends at once though somebody watches."""
    root = copied(text, tmp_path / "text")
    with serving(root) as running:
        assert running.http.get("/people").status_code == 404, "nobody has asked for rooms"
    said("-C", root, "people")
    with serving(root, "--workers", 2) as running:
        assert running.predict(text="카드")["prediction"] == "card"
        signed_in(root, running.http)
        assert "people" in json.dumps(running.http.get("/openapi.json").json()["paths"])
        begun = time.monotonic()
        running.stop()
        assert time.monotonic() - begun < 15


def test_kills_lose_nothing_that_was_acknowledged(fresh: Path, tmp_path: Path) -> None:
    """Several clients invite people until the service is killed; whoever was told of is there."""
    root = copied(fresh, tmp_path / "bank")
    said("-C", root, "people")
    told: list[str] = []
    for workers in (2, 1):
        with serving(root, "--workers", workers) as running:
            token = str(signed_in(root, running.http)["csrf"])

            def invite(token: str = token, running: Running = running) -> None:
                while True:
                    try:
                        sent = {"role": "expert", "lang": "ko"}
                        got = running.http.post("/people/api/invites", json=sent, headers={"x-csrf": token})
                    except httpx.TransportError:
                        return
                    if got.status_code == 200:
                        told.append(got.json()["id"])

            threads = [threading.Thread(target=invite) for _ in range(3)]
            for one in threads:
                one.start()
            start = len(told)
            until(lambda start=start: len(told) - start, lambda now: now >= 25)
            running.stop(signal.SIGKILL)
            for one in threads:
                one.join()
    database = Database(url_of(root))
    database.open()
    there = set(database.look(lambda c: c.execute(sa.select(person.c.id)).scalars()))
    database.close()
    assert len(told) >= 50
    assert set(told) <= there


def certificate(place: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rooms")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = place / "cert.pem", place / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return paths


def test_rooms_speak_tls(fresh: Path, tmp_path: Path) -> None:
    root = copied(fresh, tmp_path / "bank")
    cert, key = certificate(tmp_path)
    said("-C", root, "people")
    with serving(root, "--tls-cert", cert, "--tls-key", key) as running:
        assert running.url.startswith("https://")
        signed_in(root, running.http)
        got = running.http.get("/people/sign-in")
        names = [one.name for one in running.http.cookies.jar]
        assert all(name.startswith("__Host-bapsim-") for name in names), (names, got.headers)
        assert all(one.secure for one in running.http.cookies.jar)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (("--host", "0.0.0.0"), "people_needs_tls"),
        (("--host", "::"), "people_needs_tls"),
        (("--tls-cert", "recipe.py"), "serve_half_tls"),
        (("--host", "192.0.2.1", "--insecure"), "cannot_listen"),
    ],
)
def test_sessions_do_not_travel_in_the_clear(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], key: str
) -> None:
    monkeypatch.chdir(fresh)
    assert said("-C", fresh, "serve", "--people", *options, code=2)["error"]["key"] == key
    assert run("-C", fresh, "serve", "--people", *options, "--lang", "ko", code=2).stderr


def test_the_verb(fresh: Path, tmp_path: Path) -> None:
    root = copied(fresh, tmp_path / "bank")
    before = (root / "recipe.py").read_text("utf-8")
    first = run("-C", root, "people").stdout
    assert re.search(r"http://127.0.0.1:8000/people/in/[\w-]{43}", first)
    assert '+        "people": people(),' in first
    after = (root / "recipe.py").read_text("utf-8")
    assert after != before
    again = run("-C", root, "people", "--lang", "ko").stdout
    assert "people()" not in again, "it is there"
    assert "일회용" in again
    assert (root / "recipe.py").read_text("utf-8") == after
    assert said("-C", root, "people", "--url", "https://rooms.example/")["link"].startswith(
        "https://rooms.example/p"
    )
    assert said("-C", root, "people", "--url", "rooms.example", code=2)["error"]["key"] == "people_address"
    wrong = said("-C", root, "people", "--database", "mysql://x", code=2)
    assert wrong["error"]["key"] == "people_database_url"
    gone = said("-C", root, "people", "--database", "postgresql://u:hidden@127.0.0.1:9/x", code=2)
    assert gone["error"]["key"] == "people_database_gone"
    assert "hidden" not in json.dumps(gone)
    assert stat.S_IMODE((root / "people" / "database").stat().st_mode) == 0o600
    assert said("-C", tmp_path, "people", code=2)["error"]["key"]


def test_a_recipe_that_is_made_otherwise_is_left_alone(fresh: Path, tmp_path: Path) -> None:
    root = copied(fresh, tmp_path / "bank")
    path = root / "recipe.py"
    said_before = path.read_text("utf-8").replace("recipe = Recipe(", "made = Recipe(") + "\nrecipe = made\n"
    path.write_text(said_before, "utf-8")
    done = run("-C", root, "people").stdout
    assert "from bapsim.gather.people import people" in done
    assert path.read_text("utf-8") == said_before
