"""Keys: what is sealed opens, unless the key was destroyed; signatures cannot be bent."""

import base64
import multiprocessing
import os
import signal
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import StoreError
from bapsim.store import fault
from bapsim.store.sealing import Keys, public_key, sign, verified


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path / "people" / "keys")


def test_a_sealed_body_opens_for_its_person_only(keys):
    for body in (b"", "비밀 레시피".encode(), bytes(range(256)) * 1000):
        sealed = keys.seal("p-one", body)
        assert body not in sealed or not body
        assert sealed != keys.seal("p-one", body)
        assert keys.unseal("p-one", sealed) == body
        with pytest.raises(StoreError, match="key"):
            keys.unseal("p-two", sealed)
    assert stat.S_IMODE((keys.folder / "p-one.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.folder.stat().st_mode) == 0o700
    assert [p.name for p in keys.folder.iterdir()] == ["p-one.key"]


@given(st.integers(0, 60), st.integers(1, 255))
def test_no_byte_of_a_sealed_body_can_be_changed(tmp_path_factory, at, by):
    keys = Keys(tmp_path_factory.getbasetemp() / "changed")
    sealed = bytearray(keys.seal("p", b"x" * 24))
    sealed[at % len(sealed)] ^= by
    with pytest.raises(StoreError):
        keys.unseal("p", bytes(sealed))
    with pytest.raises(StoreError):
        keys.unseal("p", bytes(sealed[:at]))


def test_a_destroyed_key_opens_nothing_and_a_new_one_is_another(keys):
    assert not keys.destroy("p")
    sealed = keys.seal("p", b"said")
    (keys.folder / "p.key.abcd.tmp").write_bytes((keys.folder / "p.key").read_bytes())  # a killed maker's
    assert (keys.has("p"), keys.destroy("p"), keys.has("p")) == (True, True, False)
    assert list(keys.folder.iterdir()) == []
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            keys.unseal("p", sealed)
        assert raised.value.key == "key_destroyed"
        assert keys.unseal("p", keys.seal("p", b"later")) == b"later"


@pytest.mark.parametrize("person", ["", "../signing", "a/b", "a.b", "김", "-", "x" * 81, "a\n"])
def test_a_person_is_no_path(keys, person):
    for call in (keys.has, keys.destroy, lambda p: keys.seal(p, b""), lambda p: keys.unseal(p, b"\1" * 40)):
        with pytest.raises(StoreError) as raised:
            call(person)
        assert raised.value.key == "no_such_person"


def _seal_one(folder, start, out):
    start.wait()
    out.put(Keys(folder).seal("p", b"said"))


def test_two_that_make_a_key_at_once_make_one(keys):
    way = multiprocessing.get_context("spawn")
    start, out = way.Event(), way.Queue()
    makers = [way.Process(target=_seal_one, args=(keys.folder, start, out)) for _ in range(3)]
    for one in makers:
        one.start()
    start.set()
    assert [keys.unseal("p", out.get(timeout=60)) for _ in makers] == [b"said"] * 3
    for one in makers:
        one.join()
    assert [p.name for p in keys.folder.iterdir()] == ["p.key"]


def test_a_maker_killed_at_any_point_leaves_no_half_key(keys, tmp_path):
    for at in range(1, 9):
        child = os.fork()
        if child == 0:
            fault._passed = 0
            os.environ["BAPSIM_FAULT"] = str(at)
            keys.seal(f"p{at}", b"said")
            os._exit(0)
        ended = os.waitpid(child, 0)[1]
        assert ended in (signal.SIGKILL, 0)
        assert keys.unseal(f"p{at}", keys.seal(f"p{at}", b"said")) == b"said"
        keys.destroy(f"p{at}")
    assert ended == 0
    assert list(keys.folder.iterdir()) == []


def test_signatures(tmp_path):
    folder = tmp_path / "people"
    signed, key = sign(folder, b"body"), public_key(folder)
    assert verified(key, b"body", signed)
    assert len(base64.b64decode(key)) == 32
    assert stat.S_IMODE((folder / "signing.key").stat().st_mode) == 0o600
    for public, body, signature in (
        (key, b"bodY", signed),
        (key, b"body", sign(folder, b"other")),
        (public_key(tmp_path / "else"), b"body", signed),
        (key, b"body", ""),
        (key, b"body", "no base64 at all"),
        ("", b"body", signed),
        (key[:-4], b"body", signed),
        ("é", b"body", signed),
    ):
        assert not verified(public, body, signature)


def test_an_unreadable_signing_key_is_not_replaced(tmp_path):
    for body in (b"", b"-----BEGIN " + b"PRIVATE KEY-----\nAAAA\n-----END " + b"PRIVATE KEY-----\n"):
        (tmp_path / "signing.key").write_bytes(body)
        with pytest.raises(StoreError):
            sign(tmp_path, b"body")
        assert (tmp_path / "signing.key").read_bytes() == body
