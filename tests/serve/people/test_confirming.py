"""Sixty pictures that may be platelets, kept or rejected by keyboard alone; a turn takes them in."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bapsim.store.project import opened
from bapsim.wheel.founding import load_recipe
from bapsim.wheel.stock import load_stock
from tests.cli.conftest import run, said
from tests.serve.people.house import PASSWORD
from tests.serve.people.test_browser import Hands, browser  # noqa: F401  a fixture
from tests.serve.people.test_story import joined
from tests.serve.world import Running, serving

CELLS = ("red", "white", "platelet")
SOUGHT = "platelet"
DRAWN = ((40, 70), (20, 5), (20, 60))  # pictures of each class: labelled, in the pool
PAGES, TILES = 5, 12


def write_cells(data: Path, place: Path) -> dict[str, str]:
    """Blood cells of real photographs: labelled ones in folders of their class, a pool beside; the truth."""
    whole = np.load(data / "bccd" / "crops32.npz")
    pixels, kinds = whole["x"], whole["y"]
    rng, truth = np.random.default_rng(0), {}
    for number, (labelled, pool) in enumerate(DRAWN):
        rows = rng.permutation(np.flatnonzero(kinds == number))[: labelled + pool]
        for i, row in enumerate(rows.tolist()):
            folder = place / "cells" / CELLS[number] if i < labelled else place / "pool"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[row]).save(folder / f"cell{row:04d}.png")
            truth[f"cell{row:04d}.png"] = CELLS[number]
    return truth


@pytest.fixture
def truth(data: Path, tmp_path: Path) -> dict[str, str]:
    """What each picture shows."""
    return write_cells(data, tmp_path)


@pytest.fixture
def running(truth: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    root = tmp_path / "cells-wheel"
    run("new", root, "--from", tmp_path / "cells")
    for path in (tmp_path / "pool").iterdir():
        path.rename(root / "inbox" / "pool" / path.name)
    recipe = (root / "recipe.py").read_text("utf-8").replace("budget=200", "budget=20")
    (root / "recipe.py").write_text(recipe, "utf-8")
    run("-C", root, "people")
    run("-C", root, "turn")
    with serving(root) as one:
        yield one


def names(page: Any) -> list[str]:
    """The files of the pictures on the page."""
    return [re.sub(r"^\d+\. ", "", one) for one in page.locator(".tile legend").all_inner_texts()]


def answers_and_takes_back(one: Hands, place: str) -> None:
    """A question of the model: a label by number with a comment, taken back, skipped, taken back."""
    page = one.page
    page.goto(place)
    page.wait_for_function("() => document.querySelector('.shown img').naturalWidth > 0")
    first = page.inner_text("figcaption")
    assert "/" not in first, "the folder of a picture is its label"
    assert "Small, violet" in page.inner_text(".rules")
    one.press("c")
    page.keyboard.type("뭉쳐 있음")
    one.press("Escape")
    for key in ("2", "s", "0"):
        one.press(key)
        page.wait_for_function("was => document.querySelector('figcaption')?.innerText !== was", arg=first)
        one.press("z")
        page.wait_for_function("was => document.querySelector('figcaption')?.innerText === was", arg=first)


@pytest.mark.data
def test_sixty_pictures_by_keyboard_and_a_turn(
    running: Running,
    browser: Any,  # noqa: F811
    truth: dict[str, str],
) -> None:
    owner = Hands(browser.new_context(locale="en-US").new_page())
    owner.page.goto(said("-C", running.root, "people")["link"].replace("http://127.0.0.1:8000", running.url))
    owner.fill(login="owner", name="Kim", password=PASSWORD, again=PASSWORD)
    owner.press("Enter")
    owner.lands_on("/people")
    owner.page.goto(f"{running.url}/people/notice")
    owner.fill(name="Lab", contact="privacy@lab.example", storage="Seoul", retention="5 years")
    with owner.page.expect_navigation():
        owner.press("Enter")
    owner.page.goto(f"{running.url}/people/persons")
    owner.fill(domain="혈액")
    owner.press("Enter")
    owner.page.wait_for_selector("#link")
    link = owner.page.input_value("#link")
    owner.page.goto(f"{running.url}/people/desk")
    job = owner.page.locator(".jobs a.quiet").first.get_attribute("href")
    owner.page.goto(f"{running.url}{job}")
    owner.page.locator("summary").last.click()
    owner.fill(label=SOUGHT, rule="Small, violet, without a nucleus.", examples="cell0894.png")
    owner.to("details form button")
    with owner.page.expect_navigation():
        owner.press("Enter")
    owner.page.goto(f"{running.url}/people/desk")
    owner.fill(label=SOUGHT)
    with owner.page.expect_navigation():
        owner.press("Enter")
    place = owner.page.url.removesuffix("/progress")

    kim = joined(browser, link, "kim", "ko-KR")
    answers_and_takes_back(kim, running.url + str(job).removesuffix("/progress"))
    kim.page.goto(f"{running.url}/people/desk")
    kim.to(f"a.button[href='{place.removeprefix(running.url)}']")
    kim.press("Enter")
    kim.page.wait_for_selector(".tile")
    kim.page.wait_for_function("() => document.activeElement?.matches('.tile input')")
    kim.is_accessible()
    assert "Small, violet" in kim.page.inner_text("#desk"), "the guideline is beside the pictures"
    decided: dict[str, str] = {}
    for number in range(PAGES):
        shown = names(kim.page)
        assert len(shown) == TILES
        assert not set(shown) & set(decided)
        kim.page.wait_for_function(
            "() => [...document.querySelectorAll('.tile img')].every(one => one.complete && one.naturalWidth)"
        )
        for name in shown:
            kim.press("j" if truth[name] == SOUGHT else "f")
            decided[name] = truth[name]
        if number == 0:  # a slip of the finger, before it is sent
            kim.press("z")
            assert kim.page.locator(".tile[data-said]").count() == TILES - 1
            kim.press("?")
            assert kim.page.locator("dialog#keys").is_visible()
            kim.press("Escape", "j" if truth[shown[-1]] == SOUGHT else "f")
        assert kim.page.evaluate("document.activeElement?.matches('button.main')"), (
            "then the page can be sent"
        )
        kim.press("Enter")
        kim.page.wait_for_function(
            "was => document.querySelector('.tile legend').innerText !== was", arg=f"1. {shown[0]}"
        )
        kim.page.wait_for_function("() => document.activeElement?.matches('.tile input')")
    kim.press("z")  # and one that was sent
    kim.page.wait_for_function(
        "was => document.querySelector('.tile legend').innerText === was", arg=f"1. {shown[-1]}"
    )
    kim.press("j" if truth[shown[-1]] == SOUGHT else "f", "Tab")
    kim.to("button.main")
    kim.press("Enter")
    kim.page.wait_for_function(
        "was => document.querySelector('.tile legend').innerText !== was", arg=f"1. {shown[-1]}"
    )
    assert len(decided) == PAGES * TILES
    kept = sum(one == SOUGHT for one in decided.values())
    assert kept > PAGES * TILES / 2, "by chance it were 44 %"

    owner.page.wait_for_function("() => document.querySelector('#figures').innerText.includes('60 / ')")
    assert owner.page.url == f"{place}/progress", "live: nobody loaded the page again"
    owner.is_accessible()
    (folder,) = [running.root / "inbox" / "people"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        files = list(folder.glob("*.jsonl"))
        if files and len(files[0].read_text("utf-8").splitlines()) == PAGES * TILES:
            break
        time.sleep(0.1)
    done = said("-C", running.root, "turn")
    assert done["fresh"]["people"] == PAGES * TILES, "kept as labels, or kept as what they are not"
    recipe = load_recipe(running.root)
    with opened(running.root, writing=False) as project:
        stock = load_stock(project, recipe.task)
        mine = stock.of_origins(lambda _, origin: origin.method == "asked:chosen")
        assert int(mine.sum()) == kept
        assert set(stock.labels[np.flatnonzero(mine)].tolist()) == {SOUGHT}
        unread = project.ledger.value("select count(*) from unread")
    assert unread == 0
    owner.page.goto(f"{running.url}/people/desk")
    owner.fill(label=SOUGHT)
    with owner.page.expect_navigation():
        owner.press("Enter")
    kim.page.goto(owner.page.url.removesuffix("/progress"))
    again = names(kim.page)
    assert again
    assert not set(again) & set(decided), "nobody is asked twice"
    assert not owner.complaints + kim.complaints
