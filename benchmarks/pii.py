"""Personal data: recall on generated sentences by kind, format and particle, false hits on clean text, speed.

    OMP_NUM_THREADS=1 python benchmarks/pii.py [--presidio PYTHON]

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/pii.md. PYTHON is an interpreter of its own
with presidio-analyzer 2.2.366 (see pii_presidio.py); without it that column stays empty.

Sentences come from pii_made.py, which knows the public plans and not the kernel. Every hit in clean text was
looked at by eye: what was seen is in JUDGED, by the set's own id; one that nobody looked at counts as false.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import subprocess
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np

from bapsim.text.pii import KINDS, counts, find
from pii_made import MAKERS, PLAIN, decoys, planted, sentences

ROOT = Path(__file__).resolve().parent.parent
DATA = (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()
OUT = ROOT / "docs" / "results" / "pii.md"
SEED = 20261125

# Clean text: what a person saw in each hit. All of these are numbers and addresses of people or firms.
JUDGED = {
    "nsmc_ko": "137764 4261747 4445650 4788071 5181163 5726398 5736381 7716597 9294818 9699507 9896792 "
    "9957046",
    "klue_ner_ko": "klue-ner-v1_dev_01949-wikitree",
}
CLEAN = {
    "nsmc_ko": "nsmc_ko/train.jsonl.gz",
    "hate_ko": "hate_ko/unlabeled.jsonl.gz",
    "intent_3i4k_ko": "intent_3i4k_ko/train.jsonl.gz",
    "klue_ner_ko": "klue_ner_ko/ner.jsonl.gz",
    "banking77": "banking77/train.jsonl.gz",
    "clinc150": "clinc150/train.jsonl.gz",
}
SPEED = {
    **{name: CLEAN[name] for name in ("nsmc_ko", "hate_ko", "banking77")},
    "lm_ko": "lm_ko/docs.jsonl.gz",
    "lm_en": "lm_en/docs.jsonl.gz",
    "debian_copyright": "debian_copyright/docs.jsonl.gz",
}


def ours(texts: list[str]) -> list[list[tuple[str, int, int]]]:
    spans = find(texts)
    found: list[list[tuple[str, int, int]]] = [[] for _ in texts]
    for i, kind, start, end in zip(*(part.tolist() for part in spans), strict=True):
        found[i].append((KINDS[kind], start, end))
    return found


def to_the_sign(one: dict, hits: list) -> bool:
    return any(tuple(hit) == (one["kind"], one["start"], one["end"]) for hit in hits)


def covered(one: dict, hits: list) -> bool:
    """No digit or letter of the value is left, whatever it was taken for."""
    marks = [True] * (one["end"] - one["start"])
    for _, start, end in hits:
        for i in range(max(start, one["start"]), min(end, one["end"])):
            marks[i - one["start"]] = False
    value = one["text"][one["start"] : one["end"]]
    return not any(left and sign.isalnum() for left, sign in zip(marks, value, strict=True))


def lower(hits: int, n: int) -> float:
    """The lower end of Wilson's 95 % interval."""
    z = 1.96
    p = hits / n
    return (p + z * z / 2 / n - z * (p * (1 - p) / n + z * z / 4 / n / n) ** 0.5) / (1 + z * z / n)


def share(flags: list[bool]) -> str:
    return f"{np.mean(flags):.4f} ({lower(sum(flags), len(flags)):.4f})"


def by_kind(made: list[dict], found: list, theirs: list | None) -> Iterator[str]:
    yield (
        "| kind | sentences | to the sign, with a particle | without | gone "
        "| presidio, any part, with a particle | without |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for kind in MAKERS:
        at = [i for i, one in enumerate(made) if one["kind"] == kind]
        row = [kind, f"{len(at):,}"]
        for particle in (True, False):
            row.append(share([to_the_sign(made[i], found[i]) for i in at if made[i]["particle"] == particle]))
        row.append(share([covered(made[i], found[i]) for i in at]))
        for particle in (True, False):
            mine = [i for i in at if made[i]["particle"] == particle]
            row.append(
                "" if theirs is None else f"{np.mean([touched(made[i], theirs[i]) for i in mine]):.3f}"
            )
        yield f"| {' | '.join(row)} |"


def in_reviews(seed: int) -> Iterator[str]:
    """Values planted in real sentences in which nothing was found."""
    texts = [row["text"] or "" for name in ("nsmc_ko", "banking77") for row in rows_in(CLEAN[name])[:9000]]
    clean = [text for text, hits in zip(texts, ours(texts), strict=True) if not hits]
    made = planted(seed, clean)
    found = ours([one["text"] for one in made])
    yield "| kind | sentences | to the sign | gone |"
    yield "| --- | --- | --- | --- |"
    for kind in MAKERS:
        at = [i for i, one in enumerate(made) if one["kind"] == kind]
        exact = share([to_the_sign(made[i], found[i]) for i in at])
        yield f"| {kind} | {len(at):,} | {exact} | {share([covered(made[i], found[i]) for i in at])} |"


def touched(one: dict, hits: list) -> bool:
    return any(kind == one["kind"] and start < one["end"] and one["start"] < end for kind, start, end in hits)


def by_format(made: list[dict], found: list, theirs: list | None) -> Iterator[str]:
    yield "| kind | format | to the sign, with a particle | without | gone | presidio, any part of it |"
    yield "| --- | --- | --- | --- | --- | --- |"
    groups = defaultdict(list)
    for i, one in enumerate(made):
        groups[one["kind"], one["format"]].append(i)
    for (kind, name), at in groups.items():
        row = [kind, name]
        for particle in (True, False):
            mine = [i for i in at if made[i]["particle"] == particle]
            row.append(f"{np.mean([to_the_sign(made[i], found[i]) for i in mine]):.3f}")
        row.append(f"{np.mean([covered(made[i], found[i]) for i in at]):.3f}")
        row.append("" if theirs is None else f"{np.mean([touched(made[i], theirs[i]) for i in at]):.3f}")
        yield f"| {' | '.join(row)} |"


# --------------------------------------------------------------------------- peers and sets


def presidio(python: str | None, texts: list[str]) -> dict | None:
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sentences.json"
        file.write_text(json.dumps(texts, ensure_ascii=False), "utf-8")
        command = [python, str(ROOT / "benchmarks/pii_presidio.py"), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def rows_in(path: str) -> list[dict]:
    with gzip.open(DATA / path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def clean_sets() -> Iterator[str]:
    yield "| set | sentences | hits | of them true, by eye | false, per 1,000 clean sentences |"
    yield "| --- | --- | --- | --- | --- |"
    for name, path in CLEAN.items():
        rows = rows_in(path)
        found = ours([row["text"] or "" for row in rows])
        hit = [str(row.get("id")) for row, hits in zip(rows, found, strict=True) if hits]
        true = [one for one in hit if one in JUDGED.get(name, "").split()]
        kinds = Counter(kind for hits in found for kind, _, _ in hits)
        false = len(hit) - len(true)
        said = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
        told = f"{len(hit)} ({said})" if said else "0"
        rate = 1000 * false / (len(rows) - len(true))
        yield f"| {name} | {len(rows):,} | {told} | {len(true)} | {rate:.3f} |"


def decoy_rates() -> Iterator[str]:
    rng = random.Random(SEED + 1)
    texts, names = [], []
    for _ in range(1000):
        for name, value in decoys(rng):
            before, _, after = rng.choice(PLAIN).partition("{}")
            texts.append(f"{before}{value}{after}")
            names.append(name)
    found = ours(texts)
    yield "| numbers that are nobody's, 1,000 of each | taken for |"
    yield "| --- | --- |"
    for name in dict.fromkeys(names):
        hits = [hit for one, hit in zip(names, found, strict=True) if one == name]
        kinds = Counter(kind for hit in hits for kind, _, _ in hit)
        told = ", ".join(f"{kind} {n / 10:.1f} %" for kind, n in kinds.most_common())
        yield f"| {name} | {told or 'nothing'} |"


def pii_en(python: str | None) -> Iterator[str]:
    rows = rows_in("pii_en/pii.jsonl.gz")
    texts = [row["text"] for row in rows]
    both = {"ours": ours(texts)}
    peer = presidio(python, texts)
    if peer is not None:
        both["presidio"] = peer["found"]
    yield "| kind | spans | ours: recall | precision | presidio: recall | precision |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for kind, label in (("email", "EMAIL_ADDRESS"), ("card", "CREDIT_CARD"), ("phone", "PHONE_NUMBER")):
        gold = [[(s["start"], s["end"]) for s in row["spans"] if s["type"] == label] for row in rows]
        row = [kind, str(sum(map(len, gold)))]
        for found in both.values():
            mine = [[(a, b) for k, a, b in hits if k == kind] for hits in found]
            pairs = list(zip(gold, mine, strict=True))
            recalled = sum(any(a < y and x < b for x, y in m) for g, m in pairs for a, b in g)
            right = sum(any(a < y and x < b for x, y in g) for g, m in pairs for a, b in m)
            said = sum(map(len, mine))
            row += [f"{recalled / int(row[1]):.3f}", f"{right / said:.3f}" if said else "-"]
        yield f"| {' | '.join(row + [''] * (6 - len(row)))} |"


def speeds() -> Iterator[str]:
    yield "| set | texts | MB (UTF-8) | hits | MB a CPU-second |"
    yield "| --- | --- | --- | --- | --- |"
    for name, path in SPEED.items():
        texts = [row["text"] or "" for row in rows_in(path)]
        size = sum(len(text.encode()) for text in texts) / 1e6
        best = min(timed(texts) for _ in range(5))
        hits = sum(counts(find(texts)).values())
        yield f"| {name} | {len(texts):,} | {size:.1f} | {hits:,} | {size / best:.0f} |"


def timed(texts: list[str]) -> float:
    start = time.process_time()
    find(texts)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presidio", help="an interpreter with presidio-analyzer")
    parser.add_argument("--seed", type=int, default=SEED)
    said = parser.parse_args()
    made = sentences(said.seed)
    texts = [one["text"] for one in made]
    start = time.process_time()
    found = ours(texts)
    cpu = time.process_time() - start
    peer = presidio(said.presidio, texts)
    theirs = None if peer is None else peer["found"]
    each = f"{1e3 * cpu / len(texts):.3f} ms"
    cost = f"{each} a sentence" + (
        "" if peer is None else f", presidio {1e3 * peer['cpu'] / len(texts):.2f} ms"
    )
    version = "not run" if peer is None else f"presidio-analyzer {peer['version']}"
    tables = {
        "KINDS": by_kind(made, found, theirs),
        "FORMATS": by_format(made, found, theirs),
        "PLANTED": in_reviews(said.seed + 1),
        "CLEAN": clean_sets(),
        "DECOYS": decoy_rates(),
        "PII_EN": pii_en(said.presidio),
        "SPEED": speeds(),
    }
    page = PAGE.format(
        seed=said.seed,
        python=platform.python_version(),
        numpy=np.__version__,
        peer=version,
        cost=cost,
        sentences=len(texts),
        today=date.today().isoformat(),  # noqa: DTZ011
        **{name: "\n".join(lines) for name, lines in tables.items()},
    )
    OUT.write_text(page, "utf-8")
    print(page)


PAGE = """# Personal data

`OMP_NUM_THREADS=1 python benchmarks/pii.py --presidio PYTHON`, {today}, seed {seed}; Python {python},
numpy {numpy}, {peer}. What is claimed of each kind is in [personal data](../pii.md).

## Recall on generated sentences

{sentences:,} sentences with one value each. A share, and in brackets the lower end of its 95 % interval
(Wilson). *To the sign*: one span of the right kind has exactly the value's place. *Gone*: no letter or
digit of the value is left, whatever it was taken for. The peer's hits count already where they touch the
value. CPU: {cost}. The generator knows the public numbering plans and not the kernel, but
one person wrote both: while the kernel was made, misses under several other seeds were looked at and
mended (values in angle brackets or behind a label, unseen signs behind a blank). This seed was run last.

{KINDS}

{FORMATS}

Where a bracket stands round a number that has one of its own, "(02)123-4567)", the span takes both.

The same values between the words of real sentences, of film reviews and of bank customers' questions:

{PLANTED}

The peer: form recognisers only (no language model, no cues), Korean regions for telephone numbers,
threshold .3, which is its best setting for Korean text. Its forms end at word boundaries, and a particle
is no boundary. It was not made for unseen signs, nor, under Korean regions, for numbers from abroad.

## False hits

Every sentence of these sets was searched, and every hit looked at by eye. A sentence is *clean* if
nothing was found in it, or nothing that is an address or a number of the kind that was claimed. In
nsmc_ko the 120 or so sentences without a hit that hold eight digits in a row, or an "@" between letters,
were looked at as well: ratings, dates, jokes and links, no personal data among them.

{CLEAN}

{DECOYS}

What has the form, the prefix and the check digit of something is taken for it. An order number of a date
and seven digits looks like the number of a foreigner or a small child (numbers given out since October
2020 have no check digit), unless it is called an order number; of 16 digits in fours a tenth pass Luhn's
test.

## English sentences with gold spans

`pii_en`: presidio-research's own sentences and values. Its telephone numbers are mostly national ones of
countries for which nothing is claimed; found are those with a country code, American ones, and others
behind a word such as "phone". Its missed cards have prefixes that nobody gives out (350, 352, 359).

{PII_EN}

## Speed

One core, best of five, texts as a list of Python strings. The first three are clean text; lm_en is
documents with code and mails, debian_copyright has an e-mail address every 640 bytes.

{SPEED}
"""


if __name__ == "__main__":
    main()
