"""Every page for people in Chromium, light, dark, Korean, English, wide and on a phone: axe finds nothing.

    python benchmarks/rooms_axe.py                    # the whole matrix
    python benchmarks/rooms_axe.py --shots FOLDER     # pictures of the pages, too
    python benchmarks/rooms_axe.py --quick            # one scheme and language, nothing is written

Writes docs/results/rooms_axe.{json,md}; ten minutes on 2 cores; reads BAPSIM_DATA. Two projects of real
texts (banking77), each after turns and served by `bapsim serve`: a plain one, and one whose texts, labels,
titles and guidelines are HTML, scripts, text from right to left and texts of 10,000 characters. On each page:
axe without a violation of any weight, the page no wider than the window, no error on the console, nothing
that the content policy had to stop, every target of a finger at least 24 pixels high and wide (links within
text aside, as WCAG 2.2 has it), and nothing that ran. Items of every kind are labelled, and a dialogue is
held, by keyboard alone.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from PIL import Image

from bapsim.gather.voices import Item, Voice
from bapsim.serve.people import consent, desk_jobs, invites, names, persons, sessions
from bapsim.serve.people.desk_jobs import Brought
from bapsim.serve.people.desk_tables import done
from bapsim.serve.people.desk_tables import item as item_table
from bapsim.serve.people.rooms import database_of, key_of
from bapsim.serve.people.tables import person as person_table
from lab import rows_in
from rooms_load import BAPSIM, Service

OUT = Path(__file__).parent.parent / "docs" / "results"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS, SCHEMES, LANGS = {1280: 800, 390: 844}, ("light", "dark"), ("ko", "en")
SMALLEST = 24  # pixels of a target
ROWS, CLASSES = 400, 4
CONTROLLER = consent.Controller(name="밥심 은행", contact="p@bank.example", storage="서울", retention="5년")
HOSTILE = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "</textarea></title><script>window.pwned=1</script>",
    "\u202eגחלים مرحبا window.pwned=1 \u202dabc",
    "<div hx-get=/people/persons hx-trigger=load>{{ 7 * 7 }}",
    "<style>*{display:none}</style><meta http-equiv=refresh content=0>",
    "data: x\n\nevent: message\ndata: <script>window.pwned=1</script>",
    "W" * 10_000,
    "가나 " * 3_400,
    "مرحبا بالعالم " * 740,
)
# Targets that are too small; a link within a line of text is as high as its line (WCAG 2.2, 2.5.8, "inline"),
# a field within its label is as large as the label.
SMALL = """least => [
  ...document.querySelectorAll("a[href], button, input, select, textarea, summary")
].filter(one => {
  if (one.type === "hidden" || !one.checkVisibility({visibilityProperty: true})) return false;
  if (one.closest(".skip, .visually-hidden")) return false;
  if (one.tagName === "A" && getComputedStyle(one).display === "inline") return false;
  const of = one.closest("label") || (one.id && document.querySelector(`label[for="${CSS.escape(one.id)}"]`));
  const ticks = ["checkbox", "radio"].includes(one.type);
  const [a, b] = [one, ticks && of ? of : one].map(e => e.getBoundingClientRect());
  return Math.max(a.width, b.width) < least || Math.max(a.height, b.height) < least;
}).map(one => one.outerHTML.slice(0, 160) + " " + JSON.stringify(one.getBoundingClientRect()))"""
WATCH = """document.addEventListener("securitypolicyviolation",
  e => console.error("policy: " + e.violatedDirective + " " + e.blockedURI))"""


# ---------------------------------------------------------------- a project, its people and its jobs


def project(place: Path, hostile: bool) -> Path:
    """A project after its first turn, with labels that are often wrong, so that there is much to ask."""
    texts, labels = rows_in("banking77")
    kept = sorted(set(labels))[:CLASSES]
    rows = [(text, label) for text, label in zip(texts, labels, strict=True) if label in kept]
    drawn = np.random.default_rng(0)
    with (place / "rows.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        for i, at in enumerate(drawn.permutation(len(rows))[:ROWS].tolist()):
            text, label = rows[at]
            if "when" in text.lower() or drawn.random() < 0.1:
                label = kept[(kept.index(label) + 1) % CLASSES]
            more = HOSTILE[i % len(HOSTILE)].replace("\n", " ") if hostile else ""
            named = f"{label} {HOSTILE[1]}" if hostile else label
            writer.writerow([f"{text} {more}".strip(), "" if i % 5 == 4 else named])
    root = place / ("<b>bank" if hostile else "bank")
    for words in (
        ["new", root, "--from", place / "rows.csv", "--text", "text", "--target", "label"],
        ["-C", root, "people"],
    ):
        bapsim(*words)
    recipe = root / "recipe.py"
    said = recipe.read_text("utf-8").replace("    train=", '    pay=pay(hour="36,000 KRW"),\n    train=', 1)
    recipe.write_text(
        said.replace("\nrecipe = ", "\nfrom bapsim.judge.pay import pay\n\nrecipe = ", 1), "utf-8"
    )
    bapsim("-C", root, "turn")
    return root


def bapsim(*words: object) -> None:
    subprocess.run([*BAPSIM, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def brought(place: Path, hostile: bool) -> Iterator[tuple[str, Brought]]:
    """A job of each kind, by a name for it."""
    texts, _ = rows_in("banking77")
    said = [f"{texts[i]} {HOSTILE[i % len(HOSTILE)]}" if hostile else texts[i] for i in range(40)]
    labels = list(HOSTILE) if hostile else [f"label {i}" for i in range(12)]
    picture = place / "one.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)).save(picture)
    kinds: tuple[tuple[str, str, str, list[str]], ...] = (
        ("class", "label", "class", labels),
        ("labels", "label", "labels", labels),
        ("number", "label", "number", []),
        ("free", "label", "class", []),
        ("pair", "pair", "class", []),
        ("spans", "spans", "class", labels[:5]),
        ("confirm", "confirm", "class", labels[:1]),
    )
    for name, kind, answer, named in kinds:
        items = []
        for i, text in enumerate(said):
            other = said[(i + 1) % len(said)]
            shows = {"prompt": text, "a": text, "b": other} if kind == "pair" else {"text": text}
            items.append(Item(key=f"{name}{i}", shows=shows))
        tests = [Item(key=f"{name}t", shows=items[0].shows, voices=(Voice(said=labels[0], gold=True),))]
        yield (
            name,
            Brought(
                kind=kind,  # type: ignore[arg-type]
                answer=answer,
                title=labels[0][:80] if kind == "confirm" else (HOSTILE[2] if hostile else "요청의 종류"),
                origin="bench",
                items=items,
                tests=tests if name == "class" else [],
                labels=named,
                guideline={labels[0][:200]: said[0], labels[1]: said[1]},
            ),
        )


@dataclass
class World:
    """A served project: people with a session each, jobs by kind; rooms: one that is open, one ended."""

    root: Path
    port: int
    people: dict[str, tuple[str, str]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    rooms: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def change(self, work: Any) -> Any:
        database = database_of(self.root)
        try:
            return database.change(work)
        finally:
            database.close()

    def found(self, place: Path, hostile: bool) -> None:
        """Put people and jobs into it."""

        def make(connection: sa.Connection) -> None:
            consent.set_controller(connection, CONTROLLER)
            for role in ("owner", "expert"):
                one = persons.add(connection, role=role, lang="ko", domain="예금", by=None)
                row = person_table.c.id == one
                connection.execute(person_table.update().where(row).values(state="active"))
                who = persons.find(connection, one)
                assert who is not None
                grant = consent.Grant(scope=frozenset({"train", "evaluate"}))
                terms = consent.terms_of(self.root / "people", who, CONTROLLER, grant, "ko")
                consent.enter(connection, terms, consent.receipt_of(self.root / "people", terms, ""))
                self.people[role] = (one, sessions.begin(connection, one))
            for name, job in brought(place, hostile):
                self.jobs[name] = desk_jobs.add(connection, job, None)

        self.change(make)

    def speaks(self, lang: str) -> None:
        """From here on everybody reads this language."""
        self.change(lambda c: c.execute(person_table.update().values(lang=lang)))

    def invited(self) -> str:
        """A link for one who was invited."""

        def make(connection: sa.Connection) -> str:
            one = persons.add(connection, role="expert", lang="ko", domain="", by=None)
            return invites.make(connection, "invite", one)

        return f"/people/in/{self.change(make)}"

    def pages(self) -> dict[str, list[tuple[str, str]]]:
        """(name, path) of all pages that somebody sees, by role."""
        jobs = [(f"desk {name}", f"/people/desk/{job}") for name, job in self.jobs.items()]
        given = self.change(lambda c: consent.standing(c, self.people["expert"][0]))
        everybody = [
            ("home", "/people"),
            ("my data", "/people/me"),
            ("pay", "/people/pay"),
            ("consent", "/people/consent"),
            ("desk", "/people/desk"),
            ("rooms", "/people/room"),
            ("no such page", "/people/desk/j-aaaaaaaaaa"),
        ]
        rooms = [(f"room {name}", f"/people/room/{path}") for name, path in self.rooms.items()]
        return {
            "nobody": [
                ("sign in", "/people/sign-in"),
                ("invitation", self.invited()),
                ("a link that is used up", "/people/in/xxxxxxxxxxxxxxxxxxxxxxxx"),
                ("live", "/"),
                ("docs", "/docs"),
            ],
            "expert": [*everybody, *jobs, *rooms, ("withdraw", f"/people/consent/{given}/withdraw")],
            "owner": [
                *everybody,
                *((f"{name} progress", f"{path}/progress") for name, path in jobs),
                *((name, f"/people/{name}") for name in ("notice", "persons", "appeals", "audit")),
            ],
        }


# ---------------------------------------------------------------- looking


@dataclass
class Looker:
    """Looks at pages and notes what is wrong."""

    world: World
    browser: Any
    shots: Path | None
    wrong: list[tuple[str, ...]] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    navs: dict[str, float] = field(default_factory=dict)

    def page_of(self, role: str, lang: str) -> Any:
        """A window of somebody."""
        context = self.browser.new_context(locale="ko-KR" if lang == "ko" else "en-US")
        if role != "nobody":
            cookie = f"bapsim-{names.hashed(key_of(self.world.root).hex())[:16]}"
            context.add_cookies(
                [{"name": cookie, "value": self.world.people[role][1], "url": self.world.url}]
            )
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("console", lambda said: self._told(page, said.text) if said.type == "error" else None)
        page.on("pageerror", lambda why: self._told(page, str(why)))
        page.on("dialog", lambda dialog: self._told(page, f"ran: {dialog.message}"))
        return page

    def _told(self, page: Any, said: str) -> None:
        if "the server responded with a status of 4" not in said:
            self.wrong.append((page.url.replace(self.world.url, ""), "console", said))

    def look(self, page: Any, name: str, schemes: Any = SCHEMES, more: str = "") -> None:
        """All widths and schemes of the page that is open."""
        from axe_playwright_python.sync_playwright import Axe

        for width, height in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": height})
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme)
                where = f"{name} {more} {width} {scheme}"
                self.seen[name] += 1
                for one in Axe().run(page).response["violations"]:
                    self.wrong.append((where, f"axe {one['id']} {one['impact']}", one["nodes"][0]["html"]))
                if self.shots is not None:
                    file = f"{name}-{more}-{width}-{scheme}.png".replace(" ", "_").replace("/", "-")
                    page.screenshot(path=self.shots / file)
            self.fits(page, f"{name} {more} {width}", width)
        bar = page.locator(".top")
        if bar.count():
            self.navs[f"{name} {more}"] = round(bar.bounding_box()["height"])

    def fits(self, page: Any, where: str, width: int) -> None:
        """No wider than the window, targets large enough, nothing ran."""
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            self.wrong.append((where, "wide", str(wide)))
        for small in page.evaluate(SMALL, SMALLEST):
            self.wrong.append((where, "small", small))
        if page.evaluate("window.pwned") is not None:
            self.wrong.append((where, "ran", ""))

    def everything(self, langs: Any, schemes: Any) -> None:
        """Every page of everybody."""
        for lang in langs:
            self.world.speaks(lang)
            for role, pages in self.world.pages().items():
                page = self.page_of(role, lang)
                for name, path in pages:
                    page.goto(self.world.url + path)
                    self.look(page, f"{role}: {name}", schemes, lang)
                page.context.close()
            page = self.page_of("nobody", lang)
            for file in sorted(self.world.root.glob("reports/**/*.html")):
                page.goto(f"file://{file}")
                self.look(page, f"report: {file.parent.name}/{file.name}", schemes, lang)
            page.context.close()


# ---------------------------------------------------------------- by keyboard


KEYS: dict[str, list[str]] = {
    "class": ["2"],
    "labels": ["1", "3", "Enter"],
    "number": ["1", "4", ".", "5", "Enter"],
    "free": ["1", "o", "k", "Enter"],
    "pair": ["b"],
    "spans": ["w", "1", "w", "w", "2", "Shift+ArrowRight", "Shift+ArrowRight", "3", "Enter"],
}


def labelled(looker: Looker, each: int = 4) -> dict[str, int]:
    """Answers of each kind that were given by keyboard alone, as the database has them."""
    page = looker.page_of("expert", "ko")
    for name, job in looker.world.jobs.items():
        page.goto(f"{looker.world.url}/people/desk/{job}")
        if name == "confirm":
            tiles = page.locator(".tile").count()
            for i in range(tiles):
                page.keyboard.press("j" if i % 3 else "f")
            sent(page, ["Enter"], ".tile input[type=radio] >> nth=0", "name")
            continue
        for _ in range(each):
            sent(page, KEYS[name], "#desk input[name=item]", "value")
            looker.fits(page, f"labelling {name}", page.viewport_size["width"])
        sent(page, ["z"], "#desk input[name=item]", "value")
        sent(page, KEYS[name], "#desk input[name=item]", "value")
    page.context.close()
    who = looker.world.people["expert"][0]
    query = (
        sa.select(item_table.c.job, sa.func.count(sa.distinct(done.c.item)))
        .join(item_table, item_table.c.id == done.c.item)
        .where(done.c.person == who, done.c.what == "said")
        .group_by(item_table.c.job)
    )
    counts = dict(looker.world.change(lambda c: [tuple(row) for row in c.execute(query)]))
    return {name: counts.get(job, 0) for name, job in looker.world.jobs.items()}


def sent(page: Any, keys: list[str], shown: str, attribute: str) -> None:
    """Press keys until something else is shown."""
    before = page.locator(shown).first.get_attribute(attribute)
    for key in keys:
        page.keyboard.press(key)
    for _ in range(200):
        page.wait_for_timeout(50)
        there = page.locator(shown)
        if not there.count() or there.first.get_attribute(attribute) != before:
            return
    raise RuntimeError(f"{keys} lead nowhere at {page.url}")


def talked(looker: Looker, role: str, steps: int, stays: bool) -> int:
    """Replies of a dialogue by keyboard; its panel is written anew by the server as answers are learnt.

    stays: leave it open, else approve all that came of it. Returns how often the panel came anew.
    """
    page = looker.page_of(role, "ko")
    page.goto(f"{looker.world.url}/people/room")
    focus(page, "main button.main")
    page.keyboard.press("Enter")
    page.wait_for_selector("#desk input[name=question]", state="attached")
    page.evaluate(
        """() => { window.anew = 0; new MutationObserver(() => window.anew++)
          .observe(document.getElementById("side"), {childList: true}); }"""
    )
    name = page.url.rsplit("/", 1)[1]
    anew = 0
    for i in range(steps):
        if page.url.endswith("/end") or not page.locator("#desk input[name=question]").count():
            break
        sent(page, reply(page, i), "#desk input[name=question]", "value")
        page.wait_for_timeout(300)
        if not page.url.endswith("/end"):
            looker.fits(page, f"talking {i}", page.viewport_size["width"])
            anew = page.evaluate("window.anew")
    page.wait_for_timeout(3000)
    if not page.url.endswith("/end"):
        anew = page.evaluate("window.anew")
        looker.look(page, f"room as it went, {role}", SCHEMES, "ko")
        if not stays:
            page.keyboard.press("q")
            page.wait_for_url("**/end")
    looker.world.rooms["open" if stays else "ended"] = name + ("" if stays else "/end")
    if not stays:
        page.keyboard.press("t")
        focus(page, "#approve button.main")
        page.keyboard.press("Enter")
        page.wait_for_function("!document.querySelector('#approve')")
    page.context.close()
    return int(anew)


def focus(page: Any, selector: str) -> None:
    """Go there by Tab."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement?.matches(s)", selector):
            return
    raise RuntimeError(f"no way by Tab to {selector} at {page.url}")


def reply(page: Any, i: int) -> list[str]:
    """Keys for whatever is asked."""
    if page.locator(".topics").count():
        return ["1"]
    if page.locator("#f-new").count():
        return [str(1 + i % 3)]
    if page.locator("[name=none]").count():
        return ["w", "Control+a", *"has when", "Control+Enter"] if i % 2 else ["x"]
    if page.locator("textarea#f-said").count():
        return ["w", "Control+a", *HOSTILE[0], "Control+Enter"]
    return ["3", "7", "Enter"] if page.locator(".rate").count() else ["1"]


# ---------------------------------------------------------------- both projects


def run(browser: Any, hostile: bool, args: argparse.Namespace) -> dict[str, Any]:
    """All of it on one project."""
    with tempfile.TemporaryDirectory() as place:
        root = project(Path(place), hostile)
        service = Service.start(root, 1)
        try:
            world = World(root, service.port)
            world.found(Path(place), hostile)
            looker = Looker(world, browser, args.shots and args.shots / ("hostile" if hostile else "plain"))
            keyed = labelled(looker)
            print(keyed, flush=True)
            anew = talked(looker, "expert", 16, stays=False) + talked(looker, "expert", 5, stays=True)
            if not hostile:
                bapsim("-C", root, "turn")
                bapsim("-C", root, "pay", "--settle")
            whole = not hostile and not args.quick
            looker.everything(LANGS if whole else ("ko",), SCHEMES if whole else ("dark",))
        finally:
            service.end()
    for one in sorted(set(looker.wrong)):
        print(*one, flush=True)
    return {
        "pages": len(looker.seen),
        "looks": sum(looker.seen.values()),
        "labelled": keyed,
        "panel_anew": anew,
        "bar": max(looker.navs.values()),
        "wrong": [list(one) for one in looker.wrong],
        "seen": dict(looker.seen),
    }


def page(said: dict[str, Any]) -> str:
    """The results as a page."""
    rows = [
        f"| {name} | {one['pages']} | {one['looks']} | {len(one['wrong'])} | {one['bar']} |"
        f" {sum(one['labelled'].values())} | {one['panel_anew']} |"
        for name, one in said["projects"].items()
    ]
    return "\n".join(
        [
            "# Every page for people in Chromium",
            "",
            f"`{said['command']}`, {said['date']}. {(__doc__ or '').splitlines()[0]}",
            "",
            "A look is one page at one width in one colour scheme and language: axe without a violation of"
            " any weight, no wider than the window, nothing on the console, nothing that the content policy"
            f" had to stop, every target at least {SMALLEST} px, nothing ran. The plain project is seen in"
            " light and dark, Korean and English, 1280 and 390 px; the hostile one in Korean and dark only.",
            "",
            "| project | pages | looks | wrong | bar on a phone (px, highest) | items labelled by keyboard |"
            " panel written anew by the stream |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"Kinds labelled by keyboard alone: {', '.join(said['projects']['plain']['labelled'])}.",
            "",
            "Pages: "
            + ", ".join(sorted({one for p in said["projects"].values() for one in p["seen"]}))
            + ".",
            "",
        ]
    )


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--shots", type=Path)
    parser.add_argument("--only", choices=("plain", "hostile"))
    args = parser.parse_args()
    if args.shots:
        for name in ("plain", "hostile"):
            (args.shots / name).mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        kinds = [args.only] if args.only else ["plain", "hostile"]
        found = {kind: run(browser, kind == "hostile", args) for kind in kinds}
        browser.close()
    said = {
        "command": "python benchmarks/rooms_axe.py",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "projects": found,
    }
    fine = all(not one["wrong"] and all(one["labelled"].values()) for one in found.values())
    print({kind: (one["looks"], len(one["wrong"])) for kind, one in found.items()}, fine)
    if not args.quick and not args.only:
        (OUT / "rooms_axe.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")
        (OUT / "rooms_axe.md").write_text(page(said), "utf-8")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
