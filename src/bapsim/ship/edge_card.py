"""The card of a shipped folder: where it comes from, what the gate said of this very file, how it is used.

What one machine measured (latency, memory) is in measured.json: the card is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bapsim.core.errors import text

SHOWN = 12  # classes that are named


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """said: what `ship` says; about: spec.json; sizes: bytes by file name, and `total`."""

    said: Mapping[str, Any]
    about: Mapping[str, Any]
    sizes: Mapping[str, int]


def card(shipped: Shipment, lang: str) -> str:
    """README.md of the folder."""
    said, about = shipped.said, shipped.about
    head = text("edge.title", lang, target=said["target"], version=said["version"])
    facts = [f"| {text(f'edge.{key}', lang)} | {value} |" for key, value in _facts(shipped, lang)]
    files = [f"| `{name}` | {size:,} |" for name, size in shipped.sizes.items() if name != "measured.json"]
    total = shipped.sizes["total"] - shipped.sizes.get("measured.json", 0)
    files = [line for line in files if not line.startswith("| `total`")]
    parts = [
        f"# {head}",
        text(f"edge.about.{about['kind']}", lang),
        "\n".join([f"| {text('edge.what', lang)} | |", "|---|---|", *facts]),
        text(f"edge.use.{about['kind']}", lang),
        text("edge.web", lang) if "browser/index.html" in shipped.sizes else "",
        "\n".join([f"| {text('edge.file', lang)} | {text('edge.bytes', lang)} |", "|---|---|", *files]),
        text("edge.total", lang, bytes=f"{total:,}"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(shipped: Shipment, lang: str) -> Iterator[tuple[str, str]]:
    said, about = shipped.said, shipped.about
    classes = [str(name).replace("|", "\\|").replace("\n", " ") for name in about["classes"]]
    more = f" … ({len(classes)})" if len(classes) > SHOWN else ""
    yield "program", said["program"]
    yield "version", f"`{said['version']}` ({said['fingerprint']})"
    yield "data", f"`{said['data']}`"
    yield "inputs", ", ".join(f"`{name}`" for name in about["inputs"])
    yield "answer", text(f"edge.answer.{about['answer']}", lang)
    if classes:
        yield "classes", ", ".join(classes[:SHOWN]) + more
    yield "gate", verdict(said, lang)
    own = said["served"]
    yield "same", text("edge.same.value", lang, same=f"{own['same']:,}", rows=f"{own['rows']:,}")
    yield "measured", "`measured.json`"


def verdict(said: Mapping[str, Any], lang: str) -> str:
    """What the gate says of the file, in one sentence."""
    seen = said["judged"]
    if seen is None:
        look = said["look"]
        reach = f"{100 * look.get('detectable', 1.0):.2f}"
        return text(f"edge.not_judged.{look['reason']}", lang, items=look.get("items", 0), detectable=reach)
    number = said.get("unit") == "number"
    scale, unit = (1.0, "") if number else (100.0, text("edge.points", lang))
    values = {name: f"{scale * seen[name]:+.2f}" for name in ("gain", "low", "high")}
    values |= {name: f"{scale * seen[name]:.2f}" for name in ("margin", "detectable")}
    items = f"{seen['items']:,}"
    same = seen["verdict"] == "ok" and seen["differ"] == 0  # which needs no labels: judge.inferior
    kind = "same" if same else seen["verdict"]
    return text(f"edge.verdict.{kind}", lang, items=items, rows=f"{seen['rows']:,}", unit=unit, **values)
