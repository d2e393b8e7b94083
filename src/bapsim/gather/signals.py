"""What a page and its site say about use by machines: each signal as it was written, and what it forbids.

Read are robots.txt (for a named agent, and whether crawlers that train are named and shut out), preferences
(`Content-Usage`, `Content-Signal`), TDMRep (header, meta, /.well-known/tdmrep.json), `noai` and its like
(X-Robots-Tag, meta robots), and RSL. Where two contradict each other, the one that forbids holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from bapsim.gather import robots_txt
from bapsim.gather.licence_links import licence_of_url
from bapsim.gather.page_tags import tags
from bapsim.text.licence_uses import USES

MINING = ("train", "evaluate", "synthesise")  # what a reservation against text and data mining forbids
TRAINERS = (  # crawlers of which their operators say that they fetch to train
    "GPTBot",
    "CCBot",
    "ClaudeBot",
    "anthropic-ai",
    "Google-Extended",
    "Applebot-Extended",
    "meta-externalagent",
    "FacebookBot",
    "Bytespider",
    "AI2Bot",
    "cohere-training-data-crawler",
    "DeepSeekBot",
)
Headers = Mapping[str, str] | Sequence[tuple[str, str]] | str
_LABELS = {  # labels of preferences that have been in use for training and for use as input of a model
    **dict.fromkeys(
        ("train-ai", "ai-train", "train-genai", "genai", "foundation-model-production"), ("train",)
    ),
    **dict.fromkeys(("ai-use", "ai-input", "ai-inference"), ("synthesise",)),
    **dict.fromkeys(("ai", "all", "bots", "tdm", "ai-all", "*"), MINING),
}
_REASONS = ("robots", "tdm_reserved", "no_ai", "licence_terms")  # the first one is what a row is refused for
_NO_AI = frozenset({"noai", "noml", "notrain", "nollm"})
_NO_IMAGE = frozenset({"noimageai"})
_FREE = frozenset({"", "free", "attribution"})  # payments that RSL names and nobody has to make


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One thing that a site or page says.

    name: robots, robots_ai, content_usage, content_signal, tdmrep, noai or rsl; place: where it stood; raw:
    as it was written; forbids: uses; refusal: its reason (`robots`, `tdm_reserved`, `no_ai`,
    `licence_terms`); policy: the address where terms can be had.
    """

    name: str
    place: str
    raw: str
    refusal: str
    forbids: tuple[str, ...] = ()
    policy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page as it was fetched, with what its site says beside it.

    robots, tdmrep, rsl: the texts of /robots.txt, /.well-known/tdmrep.json and of the licence that robots.txt
    names, None where there is none; robots_status: the answer's number, if it is known.
    """

    url: str
    headers: Headers = ()
    html: str | bytes = ""
    robots: str | None = None
    robots_status: int | None = None
    tdmrep: str | None = None
    rsl: str | None = None


def signals(page: Page, agent: str, trainers: Sequence[str] = TRAINERS) -> list[Signal]:
    """Everything that a page and its site say about use by machines, in the order of the module's list.

    agent: the product token that the page was fetched under. Never raises: what cannot be read says nothing,
    but a robots.txt that could not be had (5xx) forbids, as RFC 9309 says.
    """
    headers = list(_pairs(page.headers))
    found = tags(page.html)
    return [
        *_robots(page, agent, trainers),
        *_usage(headers),
        *_tdmrep(page, headers, found),
        *_no_ai(page, agent, headers, found),
        *_rsl(page, agent, headers, found),
    ]


def licence_of(page: Page) -> str | None:
    """The licence that a page links to as its own (rel="license", in its tags or a header), as SPDX."""
    links = [tag.get("href", "") for name, tag in tags(page.html) if name != "meta" and _is_licence(tag)]
    links += [link for link, kind in _links(_pairs(page.headers)) if "rsl" not in kind]
    known = {one for link in links if (one := licence_of_url(urljoin(_base(page), link))) is not None}
    return " AND ".join(sorted(known)) or None


def reserved(found: Iterable[Signal]) -> str:
    """What these signals forbid, a line for each reason: "tdm_reserved train,evaluate URL"; else empty."""
    against = sorted((one for one in found if one.forbids), key=lambda one: _REASONS.index(one.refusal))
    said = (f"{one.refusal} {','.join(one.forbids)} {one.policy or ''}".strip() for one in against)
    return "\n".join(dict.fromkeys(said))


# ---------------------------------------------------------------- robots.txt


def _robots(page: Page, agent: str, trainers: Sequence[str]) -> Iterator[Signal]:
    status, text = page.robots_status, page.robots
    if status is not None and status >= 500:
        yield Signal(name="robots", place="robots.txt", raw=f"HTTP {status}", refusal="robots", forbids=USES)
    if text is None or (status is not None and status >= 400):
        return
    may = robots_txt.allowed(text, page.url, agent)
    said = "allowed" if may else "disallowed"
    yield Signal(
        name="robots",
        place="robots.txt",
        raw=f"{agent}: {said}",
        refusal="robots",
        forbids=() if may else USES,
    )
    shut = [t for t in trainers if robots_txt.names(text, t) and not robots_txt.allowed(text, page.url, t)]
    if shut:
        raw = f"{', '.join(shut)}: disallowed"
        yield Signal(name="robots_ai", place="robots.txt", raw=raw, refusal="no_ai", forbids=MINING)
    for line, prefs in robots_txt.preferences(text, page.url, agent):
        yield _preference(line.key.replace("-", "_"), "robots.txt", line.raw, prefs)


def _preference(name: str, place: str, raw: str, prefs: Mapping[str, bool]) -> Signal:
    against = {use for label, may in prefs.items() if not may for use in _LABELS.get(label, ())}
    return Signal(
        name=name, place=place, raw=raw, refusal="no_ai", forbids=tuple(u for u in USES if u in against)
    )


def _usage(headers: list[tuple[str, str]]) -> Iterator[Signal]:
    for name, value in headers:
        if name in robots_txt.PREFERENCES:
            yield _preference(name.replace("-", "_"), "header", value, robots_txt.labels(value))


# ---------------------------------------------------------------- TDMRep


def _tdmrep(page: Page, headers: list[tuple[str, str]], found: Sequence[Any]) -> Iterator[Signal]:
    policy = next((value for name, value in headers if name == "tdm-policy"), None)
    for name, value in headers:
        if name == "tdm-reservation":
            yield _reservation("header", value, policy)
    metas = [(tag.get("name", "").lower(), tag.get("content", "")) for name, tag in found if name == "meta"]
    policy = next((value for name, value in metas if name == "tdm-policy"), None)
    for name, value in metas:
        if name == "tdm-reservation":
            yield _reservation("meta", value, policy)
    for rule in _rules(page.tdmrep):
        if robots_txt.matches(str(rule.get("location", "")), robots_txt.path_of(page.url)):
            given = rule.get("tdm-policy")
            policy = given if isinstance(given, str) else None
            yield _reservation("tdmrep.json", str(rule.get("tdm-reservation")), policy)


def _reservation(place: str, said: str, policy: str | None) -> Signal:
    """1 reserves, 0 does not; what is neither is taken for a clumsy 1."""
    free = said.strip().strip("\"'") == "0"
    raw = f"tdm-reservation: {said.strip()}" + (f"; tdm-policy: {policy}" if policy else "")
    forbids = () if free else MINING
    return Signal(
        name="tdmrep", place=place, raw=raw, refusal="tdm_reserved", forbids=forbids, policy=_address(policy)
    )


def _rules(text: str | None) -> list[dict[str, Any]]:
    """The rules of a tdmrep.json; of a broken one, those that can be read."""
    try:
        said = json.loads(text or "[]")
    except (ValueError, RecursionError):
        pattern = r'"location"\s*:\s*"([^"]{0,500})"[^{}]{0,500}?"tdm-reservation"\s*:\s*"?(\d)'
        return [{"location": a, "tdm-reservation": b} for a, b in re.findall(pattern, text or "")]
    rules = said if isinstance(said, list) else [said]
    return [one for one in rules if isinstance(one, dict) and "tdm-reservation" in one]


# ---------------------------------------------------------------- noai


def _no_ai(page: Page, agent: str, headers: list[tuple[str, str]], found: Sequence[Any]) -> Iterator[Signal]:
    image = any(
        name == "content-type" and value.strip().lower().startswith("image/") for name, value in headers
    )
    mine = {"robots", agent.partition("/")[0].lower(), *(one.lower() for one in TRAINERS)}
    for name, value in headers:
        if name == "x-robots-tag":
            yield from _directives("header", value, image=image)
    for name, tag in found:
        if name == "meta" and tag.get("name", "").strip().lower() in mine:
            yield from _directives("meta", tag.get("content", ""), image=image)


def _directives(place: str, said: str, *, image: bool) -> Iterator[Signal]:
    """`noai` forbids; `noimageai` speaks of pictures, and forbids where the row is one."""
    words = set(re.split(r"[\s,:;]+", said.lower()))
    if words & (_NO_AI | _NO_IMAGE):
        forbids = MINING if words & _NO_AI or image else ()
        yield Signal(name="noai", place=place, raw=said.strip(), refusal="no_ai", forbids=forbids)


# ---------------------------------------------------------------- RSL


def _rsl(page: Page, agent: str, headers: list[tuple[str, str]], found: Sequence[Any]) -> Iterator[Signal]:
    """Licence terms that somebody has to read; where they are at hand, what they say."""
    at = []
    if page.robots is not None and (page.robots_status is None or page.robots_status < 400):
        lines = robots_txt.lines_for(page.robots, agent)
        at += [("robots.txt", one.value, one.raw) for one in lines if one.key == "license"]
    at += [("header", link, f"Link: <{link}>") for link, kind in _links(headers) if "rsl" in kind]
    for name, tag in found:
        if name == "link" and _is_licence(tag) and "rsl" in tag.get("type", "").lower():
            at.append(("meta", tag.get("href", ""), f"link rel=license: {tag.get('href', '')}"))
    for place, link, raw in at:
        forbids = MINING if page.rsl is None else _terms(page.rsl, page.url)
        policy = _address(urljoin(_base(page), link))
        yield Signal(
            name="rsl", place=place, raw=raw, refusal="licence_terms", forbids=forbids, policy=policy
        )


_USAGES = {
    "train": ("all", "ai-all", "ai-train", "train-ai"),
    "evaluate": ("all", "ai-all", "ai-train", "train-ai"),
    "synthesise": ("all", "ai-all", "ai-input", "ai-use"),
}


def _terms(xml: str, url: str) -> tuple[str, ...]:
    """What an RSL document forbids at an address: what is prohibited, not permitted, or to be paid for."""
    from xml.etree import ElementTree

    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:  # no licence needs one, and it can be made to fill the memory
        return MINING
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314  no DOCTYPE, so no entities
    except ElementTree.ParseError:
        return MINING
    path = robots_txt.path_of(url)
    licences = [
        one
        for content in root.iter()
        if _tag(content) == "content"
        and robots_txt.matches(robots_txt.path_of(content.get("url", "/")), path)
        for one in content.iter()
        if _tag(one) == "license"
    ]
    free = {use for one in licences for use in _given_freely(one)}
    return tuple(use for use in MINING if use not in free)


def _given_freely(licence: Any) -> Iterator[str]:
    parts = list(licence.iter())
    pays = [p.get("type", "free" if len(p) == 0 else "unknown") for p in parts if _tag(p) == "payment"]
    if not set(pays) <= _FREE:
        return
    said = {"permits": set[str](), "prohibits": set[str]()}
    limited = False
    for part in parts:
        if _tag(part) in said:
            limited |= part.get("type", "usage") != "usage"  # by country or by user: somebody has to look
            said[_tag(part)] |= set(re.split(r"[\s,]+", (part.text or "").lower().strip()))
    for use, names in _USAGES.items():
        if not limited and said["permits"] & set(names) and not said["prohibits"] & set(names):
            yield use


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2].lower()


# ---------------------------------------------------------------- headers and links


def _pairs(headers: Headers) -> Iterator[tuple[str, str]]:
    """Headers by name in small letters, from a mapping, pairs, or lines "Name: value"."""
    if isinstance(headers, str):
        rows: Iterable[tuple[str, str]] = (
            (a, b) for a, mark, b in (line.partition(":") for line in headers.splitlines()) if mark
        )
    else:
        rows = headers.items() if isinstance(headers, Mapping) else headers
    for name, value in rows:
        yield str(name).strip().lower(), str(value).strip()


def _links(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Addresses of `Link` headers with rel=license, and the rest of each."""
    for name, value in headers:
        if name == "link":
            for link, rest in re.findall(r"<([^<>]{1,2000})>([^<]{0,500})", value):
                if re.search(r"rel\s*=\s*\"?[^\";,]*\blicen[sc]e\b", rest, re.IGNORECASE):
                    yield link, rest.lower()


def _is_licence(tag: Mapping[str, str]) -> bool:
    return bool({"license", "licence", "copyright"} & set(tag.get("rel", "").lower().split()))


def _base(page: Page) -> str:
    return page.url if re.match(r"https?://", page.url) else "http://invalid/"


def _address(said: str | None) -> str | None:
    """An address without blanks, so that it stands in one line; None where it is none."""
    said = (said or "").strip()
    return said if said and not re.search(r"\s", said) and len(said) <= 2000 else None
