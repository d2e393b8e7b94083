"""What people allowed, in a turn: what is left out by which reason, and where it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bapsim.compose.plan import exam
from bapsim.core.errors import InputError, RecipeError, messages
from bapsim.core.recipe import only
from bapsim.core.turn import Turn
from bapsim.gather.augment import misspell
from bapsim.gather.people import people
from bapsim.refine.rights import rights
from bapsim.store.project import opened
from bapsim.store.sealing import Keys, sign
from bapsim.store.terms import REFUSALS, Terms, read_terms, signed_body, write_terms
from bapsim.wheel import state
from bapsim.wheel.audit import check
from bapsim.wheel.listing import refused
from bapsim.wheel.permits import enter_permits, permits
from bapsim.wheel.purposes import known_purposes, purposes_of
from bapsim.wheel.stock import adds_up, load_stock
from bapsim.wheel.turn import run_turn
from tests.wheel.people_world import RULE, example
from tests.wheel.world import History, bank, founded

EACH = 6
CONSENT = "c-{}"
LIMITS: dict[str, dict[str, Any]] = {  # what somebody said on the form, by the reason that it leads to
    "": {},
    "no_terms": {},
    "no_purpose": {"scope": frozenset({"evaluate"})},
    "consent_expired": {"expires": date(2026, 11, 1)},
    "embargo": {"embargo": date(2026, 12, 24)},
    "not_cleared": {"secret_owner": "Bapsim Bank"},
    "confidential": {"confidential": True},
    "never_synthesise": {"never_synthesise": True},
}
GRANTED = frozenset({"train", "evaluate", "synthesise", "publish_weights"})
USED = ("train", "evaluate", "publish_weights")


def given(root: Path, name: str, limits: dict[str, Any], numbers: range) -> None:
    """A consent with its limits, and examples under it."""
    consent, person = CONSENT.format(name * 12), f"p-{name * 10}"
    said = {"scope": GRANTED, "licence": "LicenseRef-expert", "given": "2026-10-01T00:00:00+00:00"} | limits
    write_terms(root / "inbox", Terms(consent=consent, person=person, **said))
    lines = [example(f"e{i}", "p-aaaaaaaaaa", n, i) | {"person": person} for n, i in enumerate(numbers, 1)]
    path = root / "inbox" / "people" / f"{consent}.jsonl"
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), "utf-8")


def house(root: Path) -> Path:
    """A project with one consent for each limit."""
    founded(root)
    for k, limits in enumerate(LIMITS.values()):
        given(root, "abcdefgh"[k], limits, range(5000 + 100 * k, 5000 + 100 * k + EACH))
    (root / "inbox" / "people" / f"{CONSENT.format('b' * 12)}.terms.json").unlink()  # lost, or never written
    return root


def recipe(**changes: Any) -> Any:
    sources = {"history": History(60, 0), "experts": people(), "slips": misspell("experts", share=1.0)}
    return bank(
        **{
            "sources": sources,
            "questions": None,
            "exam": exam(20, near=0.9),
            "folds": 2,
            "purposes": USED,
            "pay": RULE,
        }
        | changes
    )


def on(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    monkeypatch.setattr(state, "now", lambda: f"{day}T12:00:00.000+00:00")


def test_what_was_not_allowed_is_left_out_counted_by_reason_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, "2026-12-23")
    with opened(house(tmp_path / "p")) as project:
        first = run_turn(project, recipe())
        left = {name: EACH for name in LIMITS if name not in ("", "never_synthesise")}
        assert {k: v for k, v in first["reasons"].items() if k in REFUSALS} == left
        assert adds_up(first["accounts"])
        listed = [one["reason"] for one in refused(project, recipe()) if one["reason"] in REFUSALS]
        assert {name: listed.count(name) for name in left} == left, "every record is named"
        on(monkeypatch, "2026-12-24")
        second = run_turn(project, recipe())
        assert "embargo" not in second["reasons"], "it is over"
        stock = load_stock(project, recipe().task)
        made = stock.of_origins(lambda _, origin: "misspell" in origin.method)
        assert second["fresh"]["slips"] > 0
        about = {mum for row, mums in stock.parents if made[row] for mum in mums}
        asked = stock.of_origins(lambda _, origin: origin.consent == CONSENT.format("h" * 12))
        assert asked.any()
        assert about, "of the others variants are made"
        assert not about & set(np.flatnonzero(asked).tolist()), "nothing is made of what may not be"
        assert check(project, recipe())["ok"]


def test_every_reason_to_leave_something_out_has_words_in_both_languages() -> None:
    for reason in (*REFUSALS, "withdrawn", "withdrawn_parent"):
        said = messages()[f"verdict.{reason}"]
        assert said["en"] != said["ko"]


def test_purposes_and_checks_of_rights_may_not_differ_in_silence() -> None:
    """Licences are held against what the recipe declares, people's terms against what its checks do."""
    wide = rights(uses=("train", "publish_weights"))
    assert purposes_of(recipe(purposes=("train",), checks={"r": only("a", wide)})) == {*USED}
    assert purposes_of(recipe(purposes=())) == {"train", "evaluate"}, "every turn does both"
    known_purposes(recipe(checks={"r": only("a", wide)}))
    for checks in ({"r": rights()}, {"r": wide, "s": only("a", rights())}):
        with pytest.raises(RecipeError) as caught:
            known_purposes(recipe(checks=checks))
        assert caught.value.key == "purpose_unchecked"
    with pytest.raises(RecipeError) as caught:
        known_purposes(recipe(purposes=("train", "sell")))
    assert caught.value.key == "unknown_purpose"


def test_terms_that_are_not_what_was_signed_stop_the_turn(tmp_path: Path) -> None:
    root = founded(tmp_path / "p")
    given(root, "a", {"scope": frozenset({"evaluate"})}, range(5000, 5001))
    (terms,) = read_terms(root / "inbox").values()
    signed = replace(terms, signature=sign(root / "people", signed_body(terms)))
    turn = Turn(n=1, seed=0, task=recipe().task, inbox=root / "inbox")
    with opened(root) as project:
        path = write_terms(root / "inbox", replace(signed, scope=GRANTED))
        with pytest.raises(InputError) as caught:
            enter_permits(project, turn)
        assert (caught.value.key, permits(project.ledger)) == ("terms_altered", {})
        assert path.name in str(caught.value)
        write_terms(root / "inbox", terms)  # the signature taken away
        Keys(root / "people" / "keys").seal(terms.consent, b"words of the rooms")
        with pytest.raises(InputError, match="signed"):
            enter_permits(project, turn)
        write_terms(root / "inbox", signed)
        enter_permits(project, turn)
        assert permits(project.ledger)[terms.consent].scope == {"evaluate"}
