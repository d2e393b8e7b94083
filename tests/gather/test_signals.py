"""What pages and sites say about their use: robots.txt, preferences, TDMRep, noai, RSL, links to licences."""

import base64
import gzip
import importlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.core.records import Draft, Rows, source
from bapsim.core.turn import Turn
from bapsim.gather.files import files
from bapsim.gather.licence_links import licence_of_url
from bapsim.gather.robots_txt import labels, lines_for, matches, preferences
from bapsim.gather.signalled import signalled
from bapsim.gather.signals import Page, Signal, licence_of, reserved, signals
from bapsim.refine.rights import rights
from bapsim.text.licence_uses import USES
from tests.wheel.world import bank

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
bench = importlib.import_module("licences")
sys.path.pop(0)

URL = "https://site.example/news/a.html?x=1"
MINING = ("train", "evaluate", "synthesise")


def said(**page: object) -> list[Signal]:
    return signals(Page(**({"url": URL} | page)), "bapsim")  # type: ignore[arg-type]


def forbidden(**page: object) -> dict[str, set[str]]:
    """By the name of a signal: the uses that it forbids."""
    found: dict[str, set[str]] = {}
    for one in said(**page):
        if one.forbids:
            found.setdefault(one.name, set()).update(one.forbids)
    return found


ROBOTS = """User-agent: GPTBot
User-agent: CCBot
Disallow: /

User-agent: *
Allow: /
Disallow: /private/
Content-Usage: / train-ai=n
Content-Usage: /news/ train-ai=y, ai-use=n
"""


def test_a_named_agent_and_crawlers_that_train() -> None:
    found = said(robots=ROBOTS)
    assert {(one.name, one.raw) for one in found if one.name.startswith("robots")} == {
        ("robots", "bapsim: allowed"),
        ("robots_ai", "GPTBot, CCBot: disallowed"),
    }
    assert forbidden(robots=ROBOTS, url="https://site.example/private/x")["robots"] == set(USES)
    mine = "User-agent: *\nDisallow: /\n\nUser-agent: bapsim\nAllow: /\n"
    assert forbidden(robots=mine) == {}, "shut out by a star, none of the trainers is named"
    assert signals(Page(url=URL, robots=mine), "other/1.0")[0].forbids, "another agent is shut out"
    assert forbidden(robots="Disallow: /", robots_status=404) == {}, "no robots.txt"
    assert "robots" in forbidden(robots=None, robots_status=503), "could not be had"
    assert "robots" in forbidden(robots="\ufeffUser-agent: *\nDisallow: /")


def test_preferences_of_the_longest_path_hold() -> None:
    assert forbidden(robots=ROBOTS)["content_usage"] == {"synthesise"}
    assert forbidden(robots=ROBOTS, url="https://site.example/x")["content_usage"] == {"train"}
    ties = "User-agent: *\nContent-Usage: / train-ai=y\nContent-Usage: / train-ai=n\n"
    assert forbidden(robots=ties)["content_usage"] == {"train"}, "the one that forbids"
    assert forbidden(robots="Content-Usage: train-ai=n")["content_usage"] == {"train"}, "of the first drafts"
    own = "User-agent: *\nContent-Usage: / train-ai=n\n\nUser-agent: bapsim\nContent-Usage: / train-ai=y\n"
    assert forbidden(robots=own) == {}
    signal = "Content-Signal: search=yes, ai-input=no, ai-train=no"
    assert forbidden(robots=f"User-agent: *\n{signal}\nAllow: /")["content_signal"] == {"train", "synthesise"}
    assert forbidden(headers={"Content-Usage": "train-ai=n;x=1, search=y"})["content_usage"] == {"train"}
    assert labels("train-ai=n, train-ai=y, search=maybe") == {"train-ai": False}
    assert preferences(ROBOTS, "http://[broken", "bapsim") != []


def test_a_reservation_anywhere_holds() -> None:
    header = {"TDM-Reservation": "1", "tdm-policy": "https://site.example/tdm.json"}
    (one,) = said(headers=header)
    assert (one.refusal, one.forbids, one.policy) == ("tdm_reserved", MINING, "https://site.example/tdm.json")
    assert "tdm-reservation: 1" in one.raw
    meta = '<meta name="tdm-reservation" content="1">'
    assert forbidden(html=meta, headers={"tdm-reservation": "0"}) == {"tdmrep": set(MINING)}
    assert forbidden(html="<meta content=0 name=TDM-reservation>") == {}
    rules = json.dumps(
        [{"location": "/news/*.html$", "tdm-reservation": 1}, {"location": "/n", "tdm-reservation": 0}]
    )
    assert forbidden(tdmrep=rules, url="https://site.example/news/a.html") == {"tdmrep": set(MINING)}
    assert forbidden(tdmrep=rules, url="https://site.example/about") == {}
    assert forbidden(tdmrep='[{"location": "/", "tdm-reservation": 1},') == {"tdmrep": set(MINING)}, "cut off"
    assert forbidden(tdmrep='{"location": "/", "tdm-reservation": 1}') == {"tdmrep": set(MINING)}, "no list"
    assert forbidden(tdmrep="[" * 9000) == {}
    assert forbidden(headers={"tdm-reservation": "yes"}) == {"tdmrep": set(MINING)}, "a clumsy 1"


def test_noai_in_headers_and_tags() -> None:
    assert forbidden(headers=[("X-Robots-Tag", "noindex, NoAI")]) == {"noai": set(MINING)}
    assert forbidden(headers="HTTP/1.1 200 OK\r\nx-robots-tag: googlebot: noai\r\n") == {"noai": set(MINING)}
    assert forbidden(html="<META CONTENT='noai' NAME='robots'>") == {"noai": set(MINING)}
    assert forbidden(html='<meta name="bapsim" content="noai">') == {"noai": set(MINING)}
    assert forbidden(html='<meta name="googlebot" content="noindex">') == {}
    (picture,) = said(headers={"X-Robots-Tag": "noimageai"})
    assert picture.forbids == (), "speaks of the pictures on a page"
    assert forbidden(headers={"X-Robots-Tag": "noimageai", "Content-Type": "image/png"}) == {
        "noai": set(MINING)
    }
    hidden = '<!-- <meta name="robots" content="noai"> --><script>"<meta name=robots content=noai>"</script>'
    assert forbidden(html=hidden) == {}
    assert forbidden(html=hidden + '<meta name="robots" content="noai">') == {"noai": set(MINING)}
    page = '<html><head><meta name="robots" content="noai"></head>'
    for encoding in ("utf-16", "utf-16-le", "cp949", "utf-8-sig"):
        assert forbidden(html=page.encode(encoding)) == {"noai": set(MINING)}, encoding


ALL = "<permits type='usage'>all</permits>"
FREE = "<license><permits type='usage'>{}</permits><payment type='free'/></license>"


def rsl(inner: str, url: str = "/") -> str:
    return f"<rsl xmlns='https://rslstandard.org/rsl'><content url='{url}'>{inner}</content></rsl>"


def test_licence_terms_that_nobody_read_forbid() -> None:
    robots = "License: https://site.example/rsl.xml\nUser-agent: *\nAllow: /\n"
    (_, one) = said(robots=robots)
    assert (one.name, one.refusal, one.forbids) == ("rsl", "licence_terms", MINING)
    assert (one.policy, one.raw) == ("https://site.example/rsl.xml", "license: https://site.example/rsl.xml")
    for body, left in (
        (rsl(FREE.format("all")), set()),
        (rsl(FREE.format("ai-all search")), set()),
        (rsl(FREE.format("ai-train")), {"synthesise"}),
        (rsl(FREE.format("search")), set(MINING)),
        (rsl(FREE.format("all"), "/other/"), set(MINING)),
        (rsl(FREE.format("all").replace("free", "subscription")), set(MINING)),
        (rsl(f"<license>{ALL}<prohibits type='usage'>train-ai</prohibits></license>"), {"train", "evaluate"}),
        (rsl(f"<license>{ALL}<permits type='geo'>US</permits></license>"), set(MINING)),
        ("<rsl><content", set(MINING)),
        ('<!DOCTYPE a [<!ENTITY b "' + "b" * 99 + '">]>' + rsl(FREE.format("all")), set(MINING)),
    ):
        assert forbidden(robots=robots, rsl=body).get("rsl", set()) == left, body
    link = '<link rel="license" type="application/rsl+xml" href="/rsl.xml">'
    assert forbidden(html=link) == {"rsl": set(MINING)}
    assert forbidden(headers={"Link": '</rsl.xml>; rel="license"; type="application/rsl+xml"'})["rsl"] == set(
        MINING
    )


@pytest.mark.parametrize(
    ("url", "licence"),
    [
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/deed.ko", "CC-BY-NC-SA-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://www.gnu.org/licenses/old-licenses/gpl-2.0.html", "GPL-2.0-only"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "GFDL-1.3-only"),
        ("https://opensource.org/license/mit", "MIT"),
        ("https://spdx.org/licenses/BSD-3-Clause.html", "BSD-3-Clause"),
        ("https://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0"),
        ("https://opendatacommons.org/licenses/odbl/1-0/", "ODbL-1.0"),
        ("https://www.kogl.or.kr/open/info/license_info/type01.do", "LicenseRef-KOGL-1"),
        ("https://example.org/terms", None),
    ],
)
def test_an_address_of_a_licence(url: str, licence: str | None) -> None:
    assert licence_of_url(url) == licence
    assert (
        licence_of(Page(url=URL, html=f'<a class=x rel="license noopener" href="{url}">here</a>')) == licence
    )
    assert licence_of(Page(url=URL, headers={"Link": f"<{url}>; rel=license"})) == licence


def test_what_is_forbidden_in_one_line_for_each_reason() -> None:
    found = said(robots=ROBOTS, headers={"tdm-reservation": "1", "tdm-policy": "/tdm json"})
    assert reserved(found).splitlines() == [
        "tdm_reserved train,evaluate,synthesise",
        "no_ai train,evaluate,synthesise",
        "no_ai synthesise",
    ]
    assert reserved(said(robots="User-agent: *\nAllow: /")) == ""


PIECES = st.sampled_from(
    [
        "User-agent: *",
        "User-agent: bapsim",
        "Disallow: /",
        "Content-Usage: /a train-ai=n",
        "License: x",
        "<meta ",
        'name="robots"',
        'content="noai">',
        "<!--",
        "-->",
        "<script>",
        "tdm-reservation: 1",
        "\n",
        "\r\n",
        "{",
        "[",
        "=",
        "\0",
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=24).map("\n".join), st.text(max_size=40))
def test_nothing_that_a_site_sends_stops_the_reading(text: str, url: str) -> None:
    found = said(url=url, headers=text, html=text, robots=text, tdmrep=text, rsl=text)
    for line in reserved(found).splitlines():
        assert len(line.split(" ")) in (2, 3)
    licence_of(Page(url=url, html=text, headers=text))


@pytest.mark.parametrize(
    "part", ["<!--", "<meta ", "<a rel=license href=x", "<script>", "rel=license ", "</script "]
)
def test_a_hostile_page_takes_no_longer_than_a_long_one(part: str) -> None:
    began = time.perf_counter()
    said(html=part * (2_000_000 // len(part)))
    said(robots=("User-agent: *\nDisallow: /" + "*a" * 500 + "\n") * 400, url=URL + "a" * 900)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/", "/x", True),
        ("/x$", "/x", True),
        ("/x$", "/xy", False),
        ("/a*c", "/abbc/d", True),
        ("", "/x", True),
        ("/a*b*c$", "/a1b2c", True),
        ("/a*b*c$", "/a1c2b", False),
        ("/%EA%B0%80", "/가/1", True),
        ("/*$", "/", True),
    ],
)
def test_a_path_and_its_pattern(pattern: str, path: str, fits: bool) -> None:
    assert matches(pattern, path) is fits


# ---------------------------------------------------------------- real sites and planted signals


def test_every_planted_signal_is_honoured(data: Path) -> None:
    rows = {row["planted"]: row for row in bench.honoured(data)}
    assert len(rows) == 4
    for planted, row in rows.items():
        assert row["read"] == row["pages"] > 0, planted
        free = row["verdicts"]["may be trained on"]
        assert free == (row["pages"] if planted in ("none", "rel=license GPL-2") else 0), planted


def test_agents_that_are_named_are_known_and_real_robots_txt_are_read(data: Path) -> None:
    for name in json.loads((data / "robots" / "ai_robots.json").read_text("utf-8")):
        robots = f"User-agent: {name}\nDisallow: /\n\nUser-agent: *\nAllow: /\n"
        assert signals(Page(url=URL, robots=robots), name)[0].forbids, name
        assert signals(Page(url=URL, robots=robots), "bapsim")[0].forbids == (), name
        assert any(line.key == "disallow" for line in lines_for(robots, name)), name
    with gzip.open(data / "robots" / "robots.jsonl.gz", "rt", encoding="utf-8") as file:
        sites = [json.loads(line) for line in file][::10]
    for site in sites:
        body = base64.b64decode(site.get("robots_b64") or "").decode("utf-8", "replace")
        found = said(url=f"https://{site['domain']}/", robots=site.get("robots_txt") or body)
        assert found[0].name == "robots"


# ---------------------------------------------------------------- as a source


@dataclass(frozen=True)
class Crawl:
    """Pages as a crawler kept them."""

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        pages = [
            {
                "url": URL,
                "headers": '{"TDM-Reservation": "1", "Link": ["<//spdx.org/licenses/MIT>; rel=license"]}',
            },
            {"url": URL, "headers": '[["X-Robots-Tag", "noai"]]', "fetched": "2026-11-01T00:00:00Z"},
            {
                "url": URL,
                "headers": "content-usage: train-ai=n\n",
                "robots": "User-agent: *\nDisallow: /news/",
            },
            {"url": URL, "html": '<link rel=license href="https://creativecommons.org/licenses/by/4.0/">'},
            {"url": None, "robots_status": 503},
        ]
        names = ("url", "headers", "html", "robots", "fetched")
        columns = {n: pa.array([p.get(n) for p in pages], pa.string()) for n in names}
        columns["robots_status"] = pa.array([p.get("robots_status") for p in pages], pa.int64())
        columns |= {"text": pa.array(list("abcde")), "intent": pa.array(["card"] * 5)}
        yield source(Rows(pa.record_batch(columns)), name="crawl", maker="unknown", rights="LicenseRef-crawl")
        nothing = Rows(pa.RecordBatch.from_arrays([], names=[]))
        yield source(nothing, name="crawl", maker="unknown", rights="LicenseRef-crawl")


def test_pages_come_with_what_they_say_raw_with_verdict_and_time() -> None:
    turn = Turn(n=1, seed=0, task=bank().task)
    first, last = signalled(Crawl(), agent="bapsim")(turn)
    assert len(last.rows) == 0
    rows = first.rows.to_pylist()
    assert [one["rights_license"] for one in rows] == ["MIT", None, None, "CC-BY-4.0", None]
    assert [(one["rights_reserved"] or "").split(" ")[0] for one in rows] == [
        "tdm_reserved",
        "no_ai",
        "robots",
        "",
        "robots",
    ]
    (kept,) = json.loads(rows[1]["rights_signals"])
    assert kept == {
        "name": "noai",
        "place": "header",
        "raw": "noai",
        "refusal": "no_ai",
        "forbids": list(MINING),
        "policy": None,
        "fetched": "2026-11-01T00:00:00Z",
    }
    records = bench.certify(first, secret=b"k", origin=0, numbering=bench.Numbering())
    turn = Turn(n=1, seed=0, task=bank().task, origins={0: first.origin})
    check = rights(accept=("LicenseRef-crawl",), column="rights_license")
    assert check(records, turn).column("reason").to_pylist() == [
        "tdm_reserved",
        "no_ai",
        "robots",
        None,
        "robots",
    ]
    waived = rights(accept=("LicenseRef-crawl", "no_ai"), column="rights_license")
    assert waived(records, turn).column("reason").to_pylist()[1] is None


def test_pages_without_an_address_are_refused_where_the_source_is_declared_wrongly(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "pages.jsonl").write_text('{"link": "http://a/", "text": "x", "intent": "card"}\n')
    turn = Turn(n=1, seed=0, task=bank().task, inbox=tmp_path / "inbox")
    crawl = signalled(files("pages.jsonl"), agent="bapsim")
    assert crawl.reads is not None
    with pytest.raises(InputError) as caught:
        list(crawl(turn))
    assert caught.value.key == "no_page_address"
    (draft,) = signalled(files("pages.jsonl"), agent="bapsim", url="link")(turn)
    assert draft.rows.column("rights_signals").to_pylist() == [None]
