"""Two experts in the room at once, in a real Chromium: from the invitation to an accepted turn, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bapsim.store.project import opened
from bapsim.store.sealing import is_sound
from tests.cli.conftest import COMMON, run, said, write_csv
from tests.scanner import scan
from tests.serve.people.house import PASSWORD
from tests.serve.people.test_browser import Hands, browser  # noqa: F401  a fixture
from tests.serve.world import Running, serving

LABELS = ("card", "loan", "account")
SYLLABLES = "가나다라마바사아자차카타파하고노도로모보소오조초코토포호구누두루무부수우주추쿠투푸후"
CANARY = "마늘빵냄새가나면"
HERS = ("그렇습니다. [PHONE]",)
TERMS = 24  # words that tell a label: as many as a rule may have


def words() -> dict[str, list[str]]:
    """Words of each label: too many to be learnt from few rows."""
    rng = np.random.default_rng(3)
    drawn = {"".join(rng.choice(list(SYLLABLES), 3)): None for _ in range(3 * TERMS + 20)}
    every = list(drawn)
    return {label: every[i * TERMS : (i + 1) * TERMS] for i, label in enumerate(LABELS)}


TOLD = words()


def rows(labelled: int, pool: int) -> list[dict[str, str]]:
    rng = np.random.default_rng(5)
    found = []
    for i in range(labelled + pool):
        label = LABELS[i % 3]
        parts = [str(rng.choice(TOLD[label])), *map(str, rng.choice(COMMON, 4)), str(rng.integers(10_000))]
        found.append({"text": " ".join(rng.permutation(parts)), "label": label if i < labelled else ""})
    return found


def truth(text: str) -> str:
    return next(label for label, mine in TOLD.items() if set(mine) & set(text.split()))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    file = write_csv(tmp_path / "rows.csv", rows(200, 700))
    run("new", tmp_path / "bank", "--from", file, "--text", "text", "--target", "label")
    run("-C", tmp_path / "bank", "people")
    run("-C", tmp_path / "bank", "turn")
    with serving(tmp_path / "bank") as one:
        yield one


class Expert(Hands):
    """An expert at the keyboard. contrary: gives another label than the right one."""

    contrary = False

    @property
    def asked(self) -> str:
        return str(self.page.inner_text("#desk h1"))

    def then(self, do: Any) -> None:
        """Do something, and wait until the next question, or the end, is there."""
        before = self.page.get_attribute("#desk input[name=question]", "value")
        do()
        self.page.wait_for_function(
            "was => location.pathname.endsWith('/end') ||"
            " (document.querySelector('#desk input[name=question]')?.value ?? was) !== was",
            arg=before,
        )

    def label(self, wanted: str) -> None:
        """By its number, or found by typing."""
        buttons = self.page.locator("#labels button")
        values = [buttons.nth(i).get_attribute("value") for i in range(buttons.count())]
        self.press(str(values.index(wanted) + 1))

    def written(self, text: str) -> None:
        self.press("w")
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)
        self.page.keyboard.press("Control+Enter")

    def answer(self, stated: set[str]) -> None:
        """Whatever waits; a rule is stated with all that the expert knows."""
        page = self.page
        if page.locator(".topics").count():
            self.then(lambda: self.press("1"))
        elif page.locator("#f-new").count():
            right = truth(page.inner_text("#desk .shown"))
            wrong = LABELS[(LABELS.index(right) + 1) % 3]
            self.then(lambda: self.label(wrong if self.contrary else right))
        elif page.locator("[name=none]").count():
            label = truth(page.inner_text(".seen li >> nth=0")) if "“" not in self.asked else self.named()
            stated.add(label)
            self.then(lambda: self.written("has " + " or ".join(f"“{one}”" for one in TOLD[label])))
        elif page.locator("textarea#f-said").count():
            self.then(lambda: self.written(f"{CANARY} 그렇습니다. 010-1234-5678"))
        elif page.locator(".rate").count():
            self.then(lambda: self.press("3", "7", "Enter"))
        else:
            self.then(lambda: self.press("1"))

    def named(self) -> str:
        """The label that the question names first."""
        found: str = min(LABELS, key=lambda one: self.asked.find(f"“{one}”") % 10_000)
        return found


def joined(browser: Any, link: str, login: str, lang: str) -> Expert:  # noqa: F811
    """Sign in by an invitation, and consent."""
    one = Expert(browser.new_context(locale=lang).new_page())
    one.page.set_default_timeout(15_000)
    one.page.goto(link)
    one.fill(login=login, password=PASSWORD, again=PASSWORD)
    one.press("Enter")
    one.lands_on("/people")
    one.page.goto(link.split("/people", 1)[0] + "/people/consent")
    for box in ("#s-train", "#s-evaluate", "#e-none", "#read"):
        one.to(box)
        one.press("Space")
    one.press("Tab", "Enter")
    one.lands_on("/people/me")
    return one


def test_two_experts_one_rule_and_a_turn(running: Running, browser: Any) -> None:  # noqa: F811
    owner = Hands(browser.new_context(locale="en-US").new_page())
    owner.page.goto(said("-C", running.root, "people")["link"].replace("http://127.0.0.1:8000", running.url))
    owner.fill(login="owner", name="Kim", password=PASSWORD, again=PASSWORD)
    owner.press("Enter")
    owner.lands_on("/people")
    owner.page.goto(f"{running.url}/people/notice")
    owner.fill(name="Bank", contact="privacy@bank.example", storage="Seoul", retention="5 years")
    with owner.page.expect_navigation():
        owner.press("Enter")
    links = []
    for domain, lang in (("예금", "en"), ("여신", "ko")):
        owner.page.goto(f"{running.url}/people/persons")
        owner.page.select_option("[name=lang]", lang)
        owner.fill(domain=domain)
        owner.press("Enter")
        owner.page.wait_for_selector("#link")
        links.append(owner.page.input_value("#link"))

    kim, lee = joined(browser, links[0], "kim", "en-US"), joined(browser, links[1], "lee", "ko-KR")
    lee.contrary = True
    kim.page.goto(f"{running.url}/people/room")
    kim.to("main button.main")
    kim.press("Enter")
    kim.page.wait_for_selector(".topics")
    kim.is_accessible()
    stated: set[str] = set()
    kim.answer(stated)
    lee.page.goto(f"{running.url}/people/room")
    lee.to("main .jobs button")
    lee.press("Enter")
    lee.page.wait_for_selector("#labels")
    same = kim.page.inner_text("#desk .shown") == lee.page.inner_text("#desk .shown")
    assert same, "whoever joins is asked about the same cases"
    kim.answer(stated)
    assert kim.page.locator(".differs").count() == 0
    lee.answer(set())
    kim.page.wait_for_selector(".differs")  # by itself: nobody loaded the page again
    assert "Others say otherwise (1)" in kim.page.inner_text("#side")
    lee.page.wait_for_selector("text=어느 쪽이 맞나요?")
    lee.is_accessible()
    lee.press("b")
    lee.page.wait_for_timeout(300)
    lee.press("q")
    lee.lands_on("/end")

    ruled = 0.0
    for _ in range(80):
        if kim.page.url.endswith("/end") or stated == set(LABELS):
            break
        known = len(stated)
        began = time.monotonic()
        kim.answer(stated)
        if len(stated) > known and not ruled:
            kim.page.wait_for_selector("#side .ruled")
            ruled = time.monotonic() - began
            assert "Your rule for" in kim.page.inner_text("#side .ruled")
            kim.is_accessible()
    assert stated == set(LABELS)
    assert 0 < ruled < 6, ruled  # three seconds is asked and measured; here other tests run beside it
    if not kim.page.url.endswith("/end"):
        kim.press("q")
        kim.lands_on("/end")
    kim.is_accessible()
    assert kim.page.locator("input:checked").count() == 0
    kim.press("t")
    kim.to("#approve button.main")
    kim.press("Enter")
    kim.page.wait_for_selector("text=Approved (")
    assert not kim.page.locator("#approve").count()

    folder = running.root / "inbox" / "people"
    deadline = time.monotonic() + 10
    while not list(folder.glob("*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    (file,) = folder.glob("*.jsonl")
    given = [json.loads(one) for one in file.read_text("utf-8").splitlines()]
    assert {"rule", "rationale", "instruction", "guideline"} <= {one["kind"] for one in given}
    assert CANARY in file.read_text("utf-8")
    assert "010-1234-5678" not in file.read_text("utf-8")

    done = said("-C", running.root, "turn")
    assert done["decision"]["verdict"] == "accept", done["decision"]
    assert done["fresh"]["rules"] > 50
    assert done["fresh"]["people"] > 5
    with opened(running.root, writing=False) as project:
        consents = {row["consent"] for row in project.ledger.rows("select distinct consent from origin")}
    assert file.stem in consents
    serves = done["candidate"]

    kim.page.goto(f"{running.url}/people/me")
    kim.to("a[href$=withdraw]")
    kim.press("Enter")
    kim.lands_on("/withdraw")
    kim.to("button.off")
    kim.press("Enter")
    kim.lands_on("/people/me")
    deadline = time.monotonic() + 60
    while not kim.page.locator("dd").get_by_text("done", exact=True).count() and time.monotonic() < deadline:
        time.sleep(0.5)
        kim.page.reload()
    assert kim.page.locator("dd").get_by_text("done", exact=True).count()
    assert not scan(running.root, [CANARY, *HERS]), "everything of theirs is gone"
    report = json.loads(
        (running.root / "reports" / "withdrawals" / file.stem / "report.json").read_text("utf-8")
    )
    assert is_sound(report)
    models = {one["name"]: one for one in report["body"]["consumers"] if one["kind"] == "model"}
    assert (models[serves]["state"], models[serves]["remedy"]) == ("tainted", "retrain")
    assert models["t001-people"]["state"] == "clean"
    owner.page.goto(f"{running.url}/people/room")
    assert lee.page.goto(f"{running.url}/people/room").status == 200
    assert not owner.complaints + kim.complaints + lee.complaints
