"""The rooms in a real Chromium: signing in, inviting and consenting by keyboard alone; axe finds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import said
from tests.serve.people.house import PASSWORD
from tests.serve.world import Running, copied, serving


@pytest.fixture
def running(fresh: Path, tmp_path: Path) -> Iterator[Running]:
    root = copied(fresh, tmp_path / "bank")
    said("-C", root, "people")
    with serving(root) as one:
        yield one


@pytest.fixture
def browser(chromium: str) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield one
        one.close()


class Hands:
    """Somebody at a keyboard: no pointer."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda why: self.complaints.append(str(why)))

    def to(self, selector: str) -> None:
        """Tab until this has the focus, which must be seen."""
        for _ in range(80):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("s => document.activeElement?.matches(s)", selector):
                outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", selector
                return
        raise AssertionError(f"no way by Tab to {selector}")

    def fill(self, **fields: str) -> None:
        for name, words in fields.items():
            self.to(f"[name={name}]")
            self.page.keyboard.type(words)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def lands_on(self, ending: str) -> None:
        self.page.wait_for_url(f"**{ending}")

    def is_accessible(self) -> None:
        """Nothing to complain of, nothing wider than a phone; benchmarks/rooms_axe.py has all schemes."""
        from axe_playwright_python.sync_playwright import Axe

        asked = {"rules": {"target-size": {"enabled": True}}}
        found = Axe().run(self.page, options=asked).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in found], self.page.url
        size = self.page.viewport_size
        self.page.set_viewport_size({"width": 390, "height": 800})
        assert self.page.evaluate("document.documentElement.scrollWidth") <= 390, self.page.url
        self.page.set_viewport_size(size)


def test_by_keyboard_alone(running: Running, browser: Any) -> None:
    link = said("-C", running.root, "people")["link"]
    owner = Hands(browser.new_context(locale="en-US").new_page())
    owner.page.goto(link)
    owner.is_accessible()
    owner.fill(login="owner", name="Kim", password=PASSWORD, again=PASSWORD)
    owner.press("Enter")
    owner.lands_on("/people")
    owner.is_accessible()
    owner.press("?")
    assert owner.page.locator("dialog#keys").is_visible()
    owner.press("Escape")
    assert not owner.page.locator("dialog#keys").is_visible()
    owner.page.goto(f"{running.url}/people/notice")
    owner.fill(name="Bank", contact="privacy@bank.example", storage="Seoul", retention="5 years")
    with owner.page.expect_navigation():  # a page that is left at once takes the form back
        owner.press("Enter")
    owner.page.goto(f"{running.url}/people/persons")
    owner.is_accessible()
    owner.fill(domain="예금")
    owner.press("Enter")
    owner.page.wait_for_selector("#link")
    invited = owner.page.input_value("#link")

    expert = Hands(browser.new_context(locale="ko-KR").new_page())
    expert.page.goto(invited)
    expert.fill(login="lee", password=PASSWORD, again=PASSWORD)
    expert.press("Enter")
    expert.lands_on("/people")
    expert.page.goto(f"{running.url}/people/consent")
    expert.is_accessible()
    assert expert.page.locator("input:checked").count() == 0, "nothing is ticked in advance"
    expert.to("#s-train")
    expert.press("Space", "Tab", "Space")
    expert.to("#e-none")
    expert.press("Space")
    expert.to("#read")
    expert.press("Space", "Tab", "Enter")
    expert.lands_on("/people/me")
    expert.is_accessible()
    expert.to("a[href$=withdraw]")
    expert.press("Enter")
    expert.lands_on("/withdraw")
    expert.is_accessible()
    expert.to("button.off")
    expert.press("Enter")
    expert.lands_on("/people/me")
    assert expert.page.locator(".badge.off").count() == 1
    expert.to("header form button")
    expert.press("Enter")
    expert.lands_on("/people/sign-in")
    expert.is_accessible()
    assert not owner.complaints + expert.complaints
