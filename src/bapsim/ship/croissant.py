"""Croissant 1.1 metadata of an export: JSON-LD that names files, columns, splits, rights and provenance.

Croissant 1.1 and its RAI extension 1.0: docs.mlcommons.org/croissant. What only whoever publishes can know
(`url`, `creator`) is left to them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from bapsim.core.errors import text
from bapsim.ship import card
from bapsim.ship.features import PICTURE, data_type
from bapsim.ship.label import DEFAULT, FOLDERS, Column, Label
from bapsim.ship.markup import visible

HERE = Path(__file__).parent
FORMATS = {"parquet": "application/x-parquet", "jsonl": "application/jsonlines"}
MEANS = {"train": "cr:TrainingSplit", "test": "cr:TestSplit"}
_WORD = re.compile(r"\w[\w.-]*")


def croissant(label: Label, lang: str) -> dict[str, Any]:
    """croissant.json as a value."""
    said = {"program": label.program, "turn": label.turn, "ended": label.ended}
    inputs = ", ".join(map(visible, label.inputs[:8])) + (" …" if len(label.inputs) > 8 else "")
    said |= {"rows": card.number(label.rows), "inputs": inputs, "target": visible(label.target)}
    return {
        "@context": json.loads((HERE / "context.json").read_text("utf-8")) | {"@language": lang},
        "@type": "sc:Dataset",
        "name": visible(label.name),
        "description": text("croissant.description", lang, **said),
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "license": [license_of(name) for name in label.rights],
        "version": f"{label.turn}.0.0",
        "datePublished": label.ended,
        "citeAs": card.citation(label, lang),
        **({"inLanguage": ["ko"]} if label.scripts.get("hangul", 0) >= card.KOREAN else {}),
        **_responsible(label, lang),
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"{label.program}, recipe {label.recipe}, audit chain {label.chain}",
        },
        "prov:wasDerivedFrom": [_derived(name, rights) for name, rights in _origins(label)],
        "distribution": list(_distribution(label)),
        "recordSet": [_splits(label, lang), *(_records(label, config, lang) for config in label.configs)],
    }


def license_of(name: str) -> str:
    """The page of a licence that SPDX knows, or the name as the project has it."""
    known = card.known_licenses().get(card.license_id(name))
    return f"https://spdx.org/licenses/{known}.html" if known else visible(name)


def _responsible(label: Label, lang: str) -> dict[str, Any]:
    """The RAI extension, as far as the project knows."""
    counts = label.accounts
    reasons = ", ".join(
        f"{card.reason_text('verdict', reason, lang)} {card.number(n)}" for reason, n in label.refused.items()
    )
    refused = {
        "rows": card.number(counts["refused"]),
        "lines": card.number(counts["lines"]),
        "reasons": reasons,
    }
    share = card.percent(label.machine_made, label.rows)
    machine = {"rows": card.number(label.machine_made), "all": card.number(label.rows), "share": share}
    tools = sorted({one.method for one in label.sources if one.target_maker == "machine"})
    scripts = card.shares_of_scripts(label, lang)
    inputs = ", ".join(map(visible, label.inputs[:8]))
    limits = [text("card.languages", lang, inputs=inputs, shares=scripts)] if scripts else []
    exam = next((split for split in label.splits if split.state == "exam"), None)
    if exam is not None:
        limits.append(text("card.exam", lang, rows=card.number(exam.rows)).replace("**", ""))
    return {
        "rai:dataCollection": "; ".join(_collected(label, lang)),
        "rai:dataPreprocessingProtocol": text("croissant.refused", lang, **refused)
        if counts["refused"]
        else text("croissant.none_refused", lang),
        "rai:dataAnnotationProtocol": card.makers_of_labels(label, lang),
        "rai:dataAnnotationAnalysis": list(card.agreement(label, lang)),
        **({"rai:machineAnnotationTools": [visible(name) for name in tools]} if tools else {}),
        "rai:dataManipulationProtocol": text("card.makers", lang, **machine),
        "rai:dataLimitations": limits or [text("card.no_letters", lang)],
        "rai:personalSensitiveInformation": text("croissant.personal", lang),
    }


def _collected(label: Label, lang: str) -> Iterator[str]:
    for one in label.sources:
        made = "/".join(filter(None, (one.input_maker, one.target_maker)))
        rights = " + ".join(map(visible, one.rights))
        yield f"{visible(one.name)}: {visible(one.method)}, {made}, {rights}, {card.number(one.rows)}"


def _origins(label: Label) -> list[tuple[str, tuple[str, ...]]]:
    return sorted({(one.name, one.rights) for one in label.sources})


def _derived(name: str, rights: tuple[str, ...]) -> dict[str, Any]:
    return {
        "@type": "prov:Entity",
        "prov:label": visible(name),
        "sc:license": [license_of(one) for one in rights],
    }


# --------------------------------------------------------------------------- files


def _distribution(label: Label) -> Iterator[dict[str, Any]]:
    """Every file with its checksum, and for each configuration the set of its files."""
    for split in label.splits:
        for file in split.files:
            yield {
                "@type": "cr:FileObject",
                "@id": file.path,
                "name": file.path,
                "contentUrl": file.path,
                "contentSize": f"{file.size} B",
                "encodingFormat": FORMATS[label.form],
                "sha256": file.sha256,
            }
    for config in label.configs:
        yield {
            "@type": "cr:FileSet",
            "@id": f"{config}-files",
            "name": f"{config}-files",
            "encodingFormat": FORMATS[label.form],
            "includes": [f"{FOLDERS[config]}/*.{label.form}"],
        }


# --------------------------------------------------------------------------- records


def _splits(label: Label, lang: str) -> dict[str, Any]:
    names = [
        {
            "splits/name": split.name,
            "splits/url": MEANS.get(split.name, "cr:Split"),
            "splits/about": text(f"card.split.{split.state}", lang, column="refused_for"),
        }
        for split in label.splits
    ]
    fields = (("name", "sc:Text"), ("url", "sc:URL"), ("about", "sc:Text"))
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": f"splits/{name}", "name": name, "dataType": kind}
            for name, kind in fields
        ],
        "data": names,
    }


def _records(label: Label, config: str, lang: str) -> dict[str, Any]:
    columns = label.columns[config]
    ids = field_ids([column.name for column in columns])
    described = [column for column in columns if _kind(column) is not None]
    omitted = [visible(column.name) for column in columns if _kind(column) is None]
    about = [text("croissant.omitted", lang, columns=", ".join(omitted))] if omitted else []
    fields = [_split_field(label, config, ids[""], lang)]
    fields += [_field(column, config, ids[column.name], lang) for column in described]
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        **({"description": about[0]} if about else {}),
        "field": fields,
    }


def field_ids(names: list[str]) -> dict[str, str]:
    """An @id for each column, and under "" for the split: the name itself where an IRI can hold it."""
    found: dict[str, str] = {name: name for name in names if _WORD.fullmatch(name)}
    taken = set(found.values())
    for n, name in enumerate(["", *names]):
        if name not in found:
            base = "split" if not name else f"column-{n}"
            found[name] = next(one for one in _free(base) if one not in taken)
            taken.add(found[name])
    return found


def _free(base: str) -> Iterator[str]:
    yield base
    n = 2
    while True:
        yield f"{base}-{n}"
        n += 1


def _split_field(label: Label, config: str, name: str, lang: str) -> dict[str, Any]:
    """The split of a row is the name of the file that it lies in."""
    names = "|".join(split.name for split in label.splits if split.config == config)
    return {
        "@type": "cr:Field",
        "@id": f"{config}/{name}",
        "name": name,
        "description": text("croissant.split", lang),
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": f"{config}-files"},
            "extract": {"fileProperty": "fullpath"},
            "transform": {"regex": rf"^(?:{FOLDERS[config]}/)?({names})(?:-\d+\.{label.form})?$"},
        },
        "references": {"field": {"@id": "splits/name"}},
    }


def _kind(column: Column) -> str | None:
    kind = column.kind
    return data_type(kind.value_type if pa.types.is_list(kind) else kind)


def _field(column: Column, config: str, name: str, lang: str) -> dict[str, Any]:
    kind = _kind(column)
    key = f"card.about.{column.about}" if column.about else f"card.part.{column.part}"
    source: dict[str, Any] = {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": column.name}}
    if column.kind == PICTURE:
        source["transform"] = {"jsonPath": "bytes"}
    labelled = column.part == "target" and config == DEFAULT
    return {
        "@type": "cr:Field",
        "@id": f"{config}/{name}",
        "name": visible(column.name),
        "description": text(key, lang).replace("`", ""),
        "dataType": [kind, "cr:Label"] if labelled else kind,
        **({"isArray": True, "arrayShape": "-1"} if pa.types.is_list(column.kind) else {}),
        "source": source,
    }
