"""The driver of endpoints against a real llama.cpp server, with a proxy that is late, busy, cut or wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

from bapsim.core.errors import InputError, RecipeError
from bapsim.gather.asking import Asked, ask, preview
from bapsim.gather.endpoint import Endpoint, Price, Request, endpoint
from bapsim.mods import money
from bapsim.store.machine_tape import MachineTape
from tests.faulty import Proxy
from tests.llama import serving, write_model

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "pattern": "^[a-z ]{3,12}$"}, "n": {"enum": [1, 2, 3]}},
    "required": ["text", "n"],
    "additionalProperties": False,
}
PRICE = Price(reads=money("100 KRW"), writes=money("400 KRW"))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of llama.cpp with a random model."""
    model = tmp_path_factory.mktemp("llama") / "tiny.gguf"
    write_model(model)
    with serving(model) as url:
        yield url


def to(url: str, **how: object) -> Endpoint:
    said: dict[str, object] = {
        "schema": SCHEMA,
        "max_tokens": 200,
        "backoff": 0.01,
        "timeout": 5.0,
        "seed": 7,
    }
    return endpoint(url, model="tiny", **{**said, **how})


def some(count: int) -> list[Request]:
    return [Request((("system", "You write."), ("user", f"Number {i}"))) for i in range(count)]


def check_sums(found: Asked, count: int) -> None:
    assert len(found.outcomes) == count
    assert found.answered + sum(found.refused.values()) == count
    for one in found.outcomes:
        assert (one.text is None) == bool(one.reason)


def test_a_real_server_is_asked_by_schema_once(real: str, tmp_path: Path) -> None:
    tape = MachineTape(tmp_path / "machine.sqlite")
    first = ask(to(real), some(24), tape)
    check_sums(first, 24)
    assert first.answered >= 20  # whatever was cut at its longest is refused with this reason
    assert set(first.refused) <= {"cut_off"}
    for one in first.outcomes:
        if one.text is not None:
            said = json.loads(one.text)
            assert set(said) == {"n", "text"}
            assert said["n"] in (1, 2, 3)
            assert one.tokens_out > 0
    again = ask(to(real), some(24), tape)
    assert again.sent == 0
    assert [one.text for one in again.outcomes] == [one.text for one in first.outcomes]
    assert tape.in_doubt() == []
    tape.close()


def test_the_same_seed_says_the_same(real: str) -> None:
    one, other = (ask(to(real), some(3)) for _ in range(2))
    assert [o.text for o in one.outcomes] == [o.text for o in other.outcomes]


def test_samples_of_one_prompt_differ(real: str) -> None:
    wanted = [Request((("user", "Number 1"),), sample=i) for i in range(6)]
    found = ask(to(real), wanted)
    assert len({one.text for one in found.outcomes}) > 1


def test_never_more_in_flight_than_allowed(real: str) -> None:
    with Proxy(real, latency=0.02) as proxy:
        ask(to(proxy.address, concurrency=3), some(20))
    assert proxy.most == 3


@pytest.mark.parametrize("fault", ["429", "500", "503", "cut", "garbage", "no http", "no_choices", "a list"])
def test_what_passes_is_tried_again(real: str, fault: str) -> None:
    with Proxy(real, faults=[fault, fault]) as proxy:
        found = ask(to(proxy.address, concurrency=1), some(3))
    check_sums(found, 3)
    assert found.sent == 5
    assert set(found.refused) <= {"cut_off"}
    assert "sk-secret" not in repr(found)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("no_schema", "not_json"),
        ("cut_json", "cut_off"),
        ("filtered", "filtered"),
        ("empty", "empty"),
        ("deep", "not_json"),
        ("no_usage", "not_by_schema"),
        ("400", "http_400:content_policy"),
    ],
)
def test_what_does_not_pass_is_refused_with_a_reason_and_kept(
    real: str, tmp_path: Path, fault: str, reason: str
) -> None:
    tape = MachineTape(tmp_path / "machine.sqlite")
    with Proxy(real, faults=[fault]) as proxy:
        found = ask(to(proxy.address, concurrency=1), some(2), tape)
        again = ask(to(proxy.address, concurrency=1), some(2), tape)
    assert found.outcomes[0].reason == reason
    assert again.sent == 0
    assert again.outcomes[0].reason == reason
    tape.close()


@pytest.mark.parametrize(
    ("fault", "reason"), [("401", "http_401"), ("quota", "insufficient_quota"), ("429 for long", "busy")]
)
def test_what_ends_it_all_ends_it(real: str, fault: str, reason: str) -> None:
    with Proxy(real, faults=[fault] * 9) as proxy:
        found = ask(to(proxy.address, concurrency=1), some(5))
    assert found.refused == {reason: 5}
    assert found.sent == 1


def test_a_late_answer_is_asked_again_and_may_have_been_paid(real: str, tmp_path: Path) -> None:
    tape = MachineTape(tmp_path / "machine.sqlite")
    with Proxy(real, faults=["late"]) as proxy:
        found = ask(to(proxy.address, concurrency=1, timeout=0.3, price=PRICE), some(1), tape)
    assert found.sent == 2
    assert found.held > 0
    assert found.paid > 0
    tape.close()


def test_nobody_there(tmp_path: Path) -> None:
    tape = MachineTape(tmp_path / "machine.sqlite")
    found = ask(to("http://127.0.0.1:9/v1", retries=1, concurrency=2), some(20), tape)
    check_sums(found, 20)
    assert set(found.refused) == {"no_connection", "unreachable"}
    assert tape.in_doubt() == []
    assert (found.paid, found.held) == (0, 0)
    tape.close()


def test_the_ceiling_is_never_passed(real: str, tmp_path: Path) -> None:
    most = preview(to(real, price=PRICE), some(1))
    assert most.money is not None
    assert most.left is None
    tape = MachineTape(tmp_path / "machine.sqlite")
    dear = Price(reads=money("1,000,000 KRW"), writes=money("1,000,000 KRW"))
    ceiling = money("3,000 KRW")
    found = ask(to(real, price=dear, ceiling=ceiling, concurrency=4), some(40), tape)
    check_sums(found, 40)
    assert found.refused["ceiling"] > 0
    assert found.answered > 0
    assert found.paid + found.held <= ceiling.minor * 1_000_000
    again = ask(to(real, price=dear, ceiling=ceiling, concurrency=4), some(40), tape)
    assert again.paid + again.held <= ceiling.minor * 1_000_000
    left = preview(to(real, price=dear, ceiling=ceiling), some(40), tape).left
    assert left is not None
    assert left.minor == ceiling.minor - (again.paid + again.held) // 1_000_000
    tape.close()


def test_a_preview_spends_nothing_and_knows_the_tape(real: str, tmp_path: Path) -> None:
    tape = MachineTape(tmp_path / "machine.sqlite")
    ask(to(real), some(3), tape)
    with Proxy(real) as proxy:
        said = preview(to(proxy.address, price=PRICE), [*some(5), *some(5)], tape)
    assert not proxy.asked
    assert (said.requests, said.taped) == (10, 6)
    assert said.tokens_out == 2 * 200
    assert said.money is not None
    tape.close()


def test_at_most_so_many_a_minute(real: str) -> None:
    waits = preview(to(real, per_minute=10), some(25)).minutes
    assert waits == 2


def test_a_key_goes_in_the_head_and_nowhere_else(
    real: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOUSE_KEY", "sk-quite-secret")
    tape = MachineTape(tmp_path / "machine.sqlite")
    with Proxy(real, faults=["500"]) as proxy:
        ask(to(proxy.address, key_env="HOUSE_KEY"), some(2), tape)
    assert all("Bearer sk-quite-secret" in head for head in proxy.heads)
    assert "sk-quite" not in json.dumps(proxy.bodies)
    tape.close()
    assert b"sk-quite" not in b"".join(one.read_bytes() for one in tmp_path.iterdir())


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "한글"])
def test_a_key_that_cannot_be_sent(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("HOUSE_KEY", key)
    with pytest.raises(InputError, match="HOUSE_KEY"):
        ask(to("http://127.0.0.1:9/v1", key_env="HOUSE_KEY"), some(1))


@pytest.mark.parametrize("url", ["", "localhost:80/v1", "http://u:p@host/v1", "http://h/v1?key=1", "ftp://h"])
def test_an_address_that_cannot_be(url: str) -> None:
    with pytest.raises(InputError):
        to(url)


def test_what_cannot_be_asked_for() -> None:
    for wrong in ({"max_tokens": 0}, {"concurrency": 0}, {"per_minute": 0}, {"timeout": 0}, {"retries": -1}):
        with pytest.raises(InputError):
            to("http://h/v1", **wrong)
    with pytest.raises(InputError):
        to("http://h/v1", ceiling=money("1 KRW"))
    with pytest.raises(InputError):
        to("http://h/v1", ceiling=money("1 USD"), price=PRICE)
    with pytest.raises(RecipeError):
        to("http://h/v1", schema={"type": "object", "unevaluatedItems": False})


def test_whose_house() -> None:
    ours = ["http://localhost/v1", "http://127.0.0.1:8/v1", "http://10.1.2.3/v1", "http://[::1]/v1"]
    assert not any(to(url).outside for url in ours)
    assert to("https://api.example.com/v1").outside
    assert to("http://8.8.8.8/v1").outside
    assert not to("http://llm.bank.internal/v1", ours=True).outside


def test_an_erased_record_takes_what_was_said_along(real: str, tmp_path: Path) -> None:
    tape = MachineTape(tmp_path / "machine.sqlite")
    one, other = b"1" * 16, b"2" * 16
    wanted = [
        Request((("user", "the secret of Kim"),), made_from=(one,)),
        Request((("user", "another"),), made_from=(other,)),
    ]
    found = ask(to(real, price=PRICE), wanted, tape)
    assert tape.erase([one]) == 1
    assert tape.erase([one]) == 0
    left = tape.spent()["KRW"]
    assert (left.paid, left.held) == (found.paid, found.held)
    again = ask(to(real, price=PRICE), wanted[1:], tape)
    assert again.sent == 0
    tape.close()
