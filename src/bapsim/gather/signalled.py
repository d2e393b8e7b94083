"""A source of fetched pages, each with the licence that it names and what it and its site reserve.

The inner source brings one row a page: its address, and, as far as they were kept, its headers and HTML, its
site's robots.txt and tdmrep.json, and when it was fetched. Three columns are added; `refine.rights` reads
them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from bapsim.core.arrow import strings
from bapsim.core.errors import InputError
from bapsim.core.recipe import Source
from bapsim.core.records import Draft, Rows
from bapsim.core.turn import Turn
from bapsim.gather.signals import TRAINERS, Headers, Page, licence_of, reserved, signals
from bapsim.gather.unpack import shown

LICENCE, RESERVED, SIGNALS = "rights_license", "rights_reserved", "rights_signals"


@dataclass(frozen=True)
class Signalled:
    """The drafts of another source with what each page says about its use.

    agent: the product token that the pages were fetched under; url, headers (a JSON object, pairs, or lines
    "Name: value"), html, robots, robots_status, tdmrep, rsl, fetched: columns; those that are not there say
    nothing, but for the address. Added are `rights_license` (SPDX, of a link rel="license"),
    `rights_reserved` (what is forbidden, a line for each reason) and `rights_signals` (JSON: each signal as
    it was written, what it forbids, and when it was fetched). trainers: crawlers that train; a site that
    names and shuts out one of them wants no training.
    """

    source: Source
    _: KW_ONLY
    agent: str
    url: str = "url"
    headers: str = "headers"
    html: str = "html"
    robots: str = "robots"
    robots_status: str = "robots_status"
    tdmrep: str = "tdmrep"
    rsl: str = "rsl"
    fetched: str = "fetched"
    trainers: tuple[str, ...] = TRAINERS

    @property
    def reads(self) -> Callable[[Turn], list[Path]] | None:
        """What the inner source reads, if it says so."""
        reads: Callable[[Turn], list[Path]] | None = getattr(self.source, "reads", None)
        return reads

    @property
    def types(self) -> Mapping[str, str]:
        """The types that the inner source declares."""
        types: Mapping[str, str] = getattr(self.source, "types", {})
        return types

    def __call__(self, turn: Turn) -> Iterator[Draft]:
        for draft in self.source(turn):
            yield replace(draft, rows=self._said(draft.rows)) if len(draft.rows) else draft

    def _said(self, rows: Rows) -> Rows:
        if self.url not in rows.schema.names:
            columns = ", ".join(map(shown, rows.schema.names[:12]))
            raise InputError("no_page_address", column=shown(self.url), columns=columns)
        added: dict[str, list[str | None]] = {LICENCE: [], RESERVED: [], SIGNALS: []}
        names = (self.url, self.headers, self.html, self.robots, self.robots_status, self.tdmrep, self.rsl)
        cells = [_column(rows, name) for name in (*names, self.fetched)]
        for url, headers, html, robots, status, tdmrep, rsl, fetched in zip(*cells, strict=True):
            page = Page(
                url=url or "",
                headers=_headers(headers),
                html=html or "",
                robots=robots,
                robots_status=int(status) if status is not None and status.isdigit() else None,
                tdmrep=tdmrep,
                rsl=rsl,
            )
            found = signals(page, self.agent, self.trainers)
            told = [asdict(one) | {"fetched": fetched} for one in found]
            added[LICENCE].append(licence_of(page))
            added[RESERVED].append(reserved(found) or None)
            added[SIGNALS].append(json.dumps(told, ensure_ascii=False) if told else None)
        batch: pa.RecordBatch = rows
        for name, column in added.items():
            batch = batch.append_column(name, pa.array(column, pa.string()))
        return Rows(batch)


signalled = Signalled


def _column(rows: Rows, name: str) -> list[str | None]:
    return strings(rows.column(name)) if name in rows.schema.names else [None] * len(rows)


def _headers(said: str | None) -> Headers:
    """Headers as they were kept: JSON, or the lines of the answer."""
    if said is None or said.lstrip()[:1] not in ("{", "["):
        return said or ""
    try:
        kept: Any = json.loads(said)
    except (ValueError, RecursionError):
        return said
    if isinstance(kept, dict):
        pairs = [(k, one) for k, v in kept.items() for one in (v if isinstance(v, list) else [v])]
    else:
        pairs = [tuple(one) for one in kept if isinstance(one, list) and len(one) == 2]
    return [(str(k), str(v)) for k, v in pairs]
