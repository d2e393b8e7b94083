"""The dataset card of an export: README.md with front matter for Hugging Face, in English or Korean.

Pure: a data label in, a text out. Words of a user (names, labels, rights) stand in code spans and in quoted
YAML, so that nothing in them is markup.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bapsim.core.errors import messages, text
from bapsim.ship.features import named, type_text
from bapsim.ship.label import ASIDE, DEFAULT, FOLDERS, MOST_CLASSES, Label
from bapsim.ship.markup import code, table, title, visible, yaml

SHOWN_CLASSES = 100
CHAIN = 24  # letters of the head of the chain that name it: the number of its last event and some digits
KOREAN = 0.1  # a share of Hangul from which the data is called Korean
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
TASKS = {"text": "text-classification", "table": "tabular-classification", "image": "image-classification"}
MARKS = {"sharealike": "SA|[AL]?GPL|ODBL", "noncommercial": "NC", "noderivatives": "ND"}


def card(label: Label, lang: str) -> str:
    """README.md: front matter, then what a person wants to know before using the data, in that order."""
    parts = [
        f"# {title(label.name)}",
        *_opening(label, lang),
        *_section("load", _load(label, lang), lang),
        *_section("splits", _splits(label, lang), lang),
        *_section("rights", _rights(label, lang), lang),
        *_section("label", _label(label, lang), lang),
        *_section("annotation", _annotation(label, lang), lang),
        *_section("classes" if label.classes else "target", _classes(label, lang), lang),
        *_section("columns", _columns(label, lang), lang),
        *_section("provenance", _provenance(label, lang), lang),
        *_section("cite", _cite(label, lang), lang),
    ]
    return f"---\n{yaml(front_matter(label))}---\n\n" + "\n\n".join(parts) + "\n"


def _section(head: str, body: Iterator[str], lang: str, level: int = 2) -> Iterator[str]:
    said = list(body)
    if said:
        yield f"{'#' * level} {text(f'card.head.{head}', lang)}"
        yield from said


# --------------------------------------------------------------------------- front matter


def front_matter(label: Label) -> dict[str, Any]:
    """What Hugging Face reads: licences, task, size, and for each configuration its files and features."""
    said: dict[str, Any] = {"pretty_name": label.name, "license": licenses(label)}
    if label.scripts.get("hangul", 0) >= KOREAN:
        said["language"] = ["ko"]
    said["task_categories"] = [_task(label)]
    said["size_categories"] = [next((name for most, name in SIZES if label.rows < most), "n>1M")]
    said["tags"] = ["bapsim"]
    said["configs"] = [_config(label, config) for config in label.configs]
    said["dataset_info"] = [_info(label, config) for config in label.configs]
    return said


def licenses(label: Label) -> list[str]:
    """The rights as Hugging Face names licences; those that it has no name for are `other`."""
    known = {*known_licenses(), "unknown"}
    return list(dict.fromkeys(n if n in known else "other" for n in map(license_id, label.rights)))


@cache
def known_licenses() -> dict[str, str]:
    """Licences as Hugging Face names them, with their SPDX names."""
    found: dict[str, str] = json.loads((Path(__file__).parent / "licenses.json").read_text("utf-8"))
    return found


def license_id(name: str) -> str:
    """A right as Hugging Face would name it: CC BY-SA 4.0 is cc-by-sa-4.0."""
    return name.lower().replace(" ", "-")


def _task(label: Label) -> str:
    if label.tally.range is not None and label.kind == "table":
        return "tabular-regression"
    return TASKS.get(label.kind, "other")


def _config(label: Label, config: str) -> dict[str, Any]:
    files = [
        {"split": split.name, "path": f"{FOLDERS[config]}/{split.name}-*.{label.form}"}
        for split in label.splits
        if split.config == config
    ]
    return {"config_name": config, "data_files": files}


def _info(label: Label, config: str) -> dict[str, Any]:
    features = [named(column.name, column.kind) for column in label.columns[config]]
    splits = [{"name": s.name, "num_examples": s.rows} for s in label.splits if s.config == config]
    return {"config_name": config, "features": features, "splits": splits}


# --------------------------------------------------------------------------- words


def number(value: float) -> str:
    """A count with separators, a measured number with four figures."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def percent(part: float, whole: float) -> str:
    """A share in percent; a small one is not called none, nor a large one all."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.1:
        return "< 0.1"
    if 99.9 < share < 100:
        return "> 99.9"
    return f"{share:.1f}".removesuffix(".0")


def reason_text(kind: str, reason: str, lang: str) -> str:
    """A reason of a verdict or of an unread line in plain words; one of the user's own as code."""
    key = f"{kind}.{reason}"
    return text(key, lang) if key in messages() else code(reason)


def _named(key: str, name: str, lang: str) -> str:
    """One of our words, or a user's as code."""
    return text(f"{key}.{name}", lang) if f"{key}.{name}" in messages() else code(name)


def _heads(lang: str, *names: str) -> list[str]:
    return [text(f"card.col.{name}", lang) for name in names]


def _listed(names: tuple[str, ...], most: int = 20) -> str:
    return ", ".join(code(name) for name in names[:most]) + (" …" if len(names) > most else "")


def unknown_command(label: Label) -> str:
    """The options that leave out rows whose rights nobody has said; empty where no row would be left."""
    known = sorted({n for one in label.sources if "unknown" not in one.rights for n in one.rights})
    return " ".join(f'--rights "{name}"' for name in known if name.isprintable() and '"' not in name)


# --------------------------------------------------------------------------- sections


def _opening(label: Label, lang: str) -> Iterator[str]:
    certified = any(c.part == "certificate" for columns in label.columns.values() for c in columns)
    values = {"rows": number(label.rows), "inputs": _listed(label.inputs, 8), "target": code(label.target)}
    key = "card.intro" if certified else "card.plain_intro"
    yield text(key, lang, turn=label.turn, ended=label.ended, **values)
    exam = next((split for split in label.splits if split.state == "exam"), None)
    if exam is not None:
        yield f"> ⚠️ {text('card.exam', lang, rows=number(exam.rows))}"
    if label.unknown_rights:
        options = unknown_command(label)
        command = code(f"bapsim export OUT_DIR {options}", widest=500)
        counts = {"rows": number(label.unknown_rights), "all": number(label.rows)}
        said = text("card.unknown_rights", lang, command=command, **counts)
        yield f"> ⚠️ {said if options else text('card.all_unknown_rights', lang)}"


def _load(label: Label, lang: str) -> Iterator[str]:
    first = label.configs[0]
    split = next(s.name for s in label.splits if s.config == first)
    config = "" if first == DEFAULT else f', "{first}"'
    lines = ["from datasets import load_dataset", "", f'data = load_dataset("PATH/OF/THIS/FOLDER"{config})']
    yield "\n".join(["```python", *lines, f'data["{split}"][0]', "```"])
    if ASIDE in label.configs:
        yield text("card.load.aside", lang, command=f'load_dataset("PATH/OF/THIS/FOLDER", "{ASIDE}")')
    yield text("card.load.croissant", lang)


def _splits(label: Label, lang: str) -> Iterator[str]:
    reason = next((c.name for c in label.columns.get(ASIDE, ()) if c.about == "refused_for"), "refused_for")
    rows = []
    for split in label.splits:
        what = text(f"card.split.{split.state}", lang, column=code(reason))
        name = split.name if split.config == DEFAULT else f"{split.config} / {split.name}"
        rows.append([code(name), number(split.rows), what])
    yield table(_heads(lang, "split", "rows", "what"), rows, right=[1])


def _columns(label: Label, lang: str) -> Iterator[str]:
    columns = {c.name: c for config in label.configs for c in label.columns[config]}
    rows = []
    for column in columns.values():
        key = f"card.about.{column.about}" if column.about else f"card.part.{column.part}"
        rows.append([code(column.name), code(type_text(column.kind)), text(key, lang)])
    yield table(_heads(lang, "column", "type", "what"), rows)


def _classes(label: Label, lang: str) -> Iterator[str]:
    if label.tally.range is not None:
        low, high = label.tally.range
        yield text("card.range", lang, low=number(low), high=number(high))
    if label.tally.too_many:
        yield text("card.too_many", lang, most=number(MOST_CLASSES))
    classes = label.classes
    if not classes:
        return
    splits = [s.name for s in label.splits if any(counts.get(s.name) for counts in classes.values())]
    rows = [
        [code(name), *(number(counts.get(split, 0)) for split in splits)]
        for name, counts in list(classes.items())[:SHOWN_CLASSES]
    ]
    head = [*_heads(lang, "label"), *map(code, splits)]
    yield table(head, rows, right=range(1, len(head)))
    if len(classes) > SHOWN_CLASSES:
        most = sum(list(classes.values())[SHOWN_CLASSES].values())
        yield text("card.more_classes", lang, more=number(len(classes) - SHOWN_CLASSES), most=number(most))


def _label(label: Label, lang: str) -> Iterator[str]:
    yield from _section("lines", _lines(label, lang), lang, 3)
    yield from _section("makers", _makers(label, lang), lang, 3)
    yield from _section("languages", _languages(label, lang), lang, 3)


def _lines(label: Label, lang: str) -> Iterator[str]:
    """Every line of the project in one place: the counts add up to the lines that came in."""
    counts = label.accounts
    yield text("card.lines", lang, lines=number(counts["lines"]))
    rows: list[tuple[str, str, int]] = []
    for state in ("trained", "exam", "pool", "pending", "superseded"):
        if counts[state]:
            rows.append((text(f"account.{state}", lang), text(f"account.{state}.note", lang), counts[state]))
    for state, kind, reasons in (("refused", "verdict", label.refused), ("unread", "unread", label.unread)):
        ordered = sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        rows += [(text(f"account.{state}", lang), reason_text(kind, r, lang), n) for r, n in ordered]
    yield table(_heads(lang, "where", "why", "lines"), [[a, b, number(n)] for a, b, n in rows], right=[2])
    if label.other_rights:
        values = {"rights": _listed(label.only_rights), "rows": number(label.other_rights)}
        yield text("card.other_rights", lang, **values)
    if label.columns_left_out:
        yield text("card.columns_left_out", lang, columns=_listed(label.columns_left_out))
    if label.lost:
        yield text("card.lost", lang, values=number(label.lost))


def _makers(label: Label, lang: str) -> Iterator[str]:
    share = percent(label.machine_made, label.rows)
    counts = {"rows": number(label.machine_made), "all": number(label.rows), "share": share}
    yield text("card.makers" if label.machine_made else "card.no_machine", lang, **counts)
    rows = [
        [_hands(given, lang), _hands(target, lang) if there else text("card.hands.none", lang), number(count)]
        for (given, target, there), count in sorted(
            label.tally.hands.items(), key=lambda pair: (-pair[1], str(pair[0]))
        )
    ]
    yield table(_heads(lang, "input_hands", "label_hands", "rows"), rows, right=[2])


def _hands(depth: int | None, lang: str) -> str:
    if depth is None:
        return text("card.hands.unknown", lang)
    return str(depth) if depth else text("card.hands.zero", lang)


def _languages(label: Label, lang: str) -> Iterator[str]:
    shares = shares_of_scripts(label, lang)
    inputs = _listed(label.inputs, 8)
    said = text("card.languages", lang, inputs=inputs, shares=shares)
    yield said if shares else text("card.no_letters", lang)


def shares_of_scripts(label: Label, lang: str) -> str:
    """Hangul 81 %, Latin 19 %; empty where there are no letters."""
    said = [(name, share) for name, share in label.scripts.items() if share]
    return ", ".join(text(f"card.script.{name}", lang, share=percent(share, 1)) for name, share in said)


def _rights(label: Label, lang: str) -> Iterator[str]:
    column = next(
        (c.name for columns in label.columns.values() for c in columns if c.about == "rights"), None
    )
    if len(label.rights) == 1:
        yield text("card.rights.one", lang)
    elif column is None:
        yield text("card.rights.plain", lang)
    else:
        yield text("card.rights", lang, column=code(column))
    rows = [
        [
            code(one.name),
            _named("card.method", one.method, lang),
            _named("card.maker", one.input_maker, lang),
            _named("card.maker", one.target_maker, lang) if one.target_maker else "–",
            ", ".join(map(code, one.rights)),
            number(one.rows),
        ]
        for one in label.sources
    ]
    head = _heads(lang, "source", "how", "input_by", "label_by", "rights", "rows")
    yield table(head, rows, right=[5])
    said = [f"- {one}" for one in rights_notes(label, lang)]
    if said:
        yield "\n".join(said)


def rights_notes(label: Label, lang: str) -> Iterator[str]:
    """What the names of rights say of themselves: share-alike, non-commercial, no derivatives."""
    for name, rows in label.rights.items():
        words = re.split(r"[^A-Z]+", name.upper())
        for mark, pattern in MARKS.items():
            if any(re.fullmatch(pattern, word) for word in words):
                yield text(f"card.rights.{mark}", lang, name=code(name), rows=number(rows))
    consented = sum(one.consented for one in label.sources)
    if consented:
        yield text("card.rights.consented", lang, rows=number(consented))


def _annotation(label: Label, lang: str) -> Iterator[str]:
    yield makers_of_labels(label, lang)
    yield from agreement(label, lang)
    conflicts = label.refused.get("conflict", 0)
    if conflicts:
        yield text("card.conflicts", lang, rows=number(conflicts))


def makers_of_labels(label: Label, lang: str) -> str:
    """How many labels people gave, and how many a machine had its hand on."""
    by: Counter[str] = Counter()
    for (_, target, there), count in label.tally.hands.items():
        if there:
            by["unknown" if target is None else "machine" if target else "person"] += count
    said = [text(f"card.labels.{name}", lang, rows=number(count)) for name, count in by.most_common()]
    return text("card.labels", lang, labelled=number(by.total()), by=", ".join(said) or "–")


def agreement(label: Label, lang: str) -> Iterator[str]:
    """How often people who were asked about one thing said the same."""
    asked = {"card.votes": label.tally.votes, "card.agreement": label.agreement}
    for key, said in asked.items():
        if said.questions:
            counts = {"questions": number(said.questions), "agreed": number(said.agreed)}
            yield text(key, lang, share=percent(said.agreed, said.questions), **counts)
    if not any(said.questions for said in asked.values()):
        yield text("card.no_agreement", lang)


def _provenance(label: Label, lang: str) -> Iterator[str]:
    verdict = text(f"verdict_word.{label.verdict}", lang)
    turn = text("card.provenance.turn.value", lang, turn=label.turn, ended=label.ended, verdict=verdict)
    exam = text("card.provenance.exam.value", lang, version=label.exam_version, looks=label.looks)
    lines = {"turn": turn, "exam": exam, "recipe": code(label.recipe)}
    lines |= {"chain": code(label.chain), "program": label.program}
    yield "\n".join(f"- {text(f'card.provenance.{key}', lang)}: {said}" for key, said in lines.items())
    yield text("card.provenance.check", lang)


def _cite(label: Label, lang: str) -> Iterator[str]:
    yield f"{text('card.cite', lang)} {code(citation(label, lang), widest=500)}"
    yield text("card.cite.sources", lang)
    named_here = {(one.name, one.rights) for one in label.sources}
    yield "\n".join(f"- {code(name)} ({', '.join(map(code, rights))})" for name, rights in sorted(named_here))


def citation(label: Label, lang: str) -> str:
    """One line that names this export and no other."""
    values = {"name": visible(label.name), "program": label.program, "turn": label.turn, "ended": label.ended}
    return text("card.cite.text", lang, chain=label.chain[:CHAIN], **values)
