"""How far the measure of unsupported claims errs: 207 claims on real passages, marked by hand.

    python benchmarks/claims.py

`claims_marked.jsonl` holds claims as a model that summarises would write them, about a conversation at a
doctor's (mts_dialog, English) or a paragraph (lm_ko, Korean). Passages are named by id and stay where they
are; each claim was read against its passage by whoever wrote it, a developer of the measure. A mark says
whether the passage supports the claim in meaning, which the measure cannot see: it compares wording. Reads
BAPSIM_DATA (default ../shared/data), writes docs/results/claims.{json,md}.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bapsim.judge.claims import UNSUPPORTED, calibrated, claim_rate
from bapsim.judge.compare import wilson
from bapsim.refine.mutation import bounds
from bapsim.text.grounds import support

ROOT = Path(__file__).resolve().parent.parent
DATA = (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()
OUT = ROOT / "docs" / "results"


def lines(path: Path) -> Iterator[dict[str, Any]]:
    text = path.read_bytes()
    body = gzip.decompress(text) if path.suffix == ".gz" else text
    yield from map(json.loads, body.decode().splitlines())


def passages() -> dict[str, str]:
    """By id: a conversation, or a paragraph of a document."""
    found = {row["id"]: row["dialogue"] for row in lines(DATA / "mts_dialog/val.jsonl.gz")}
    for row in lines(DATA / "lm_ko/docs.jsonl.gz"):
        for n, part in enumerate(re.split(r"\n\s*\n", row["text"])):
            found[f"{row['id']}#{n}"] = " ".join(part.split())
    return found


def told(said: np.ndarray, marks: np.ndarray) -> dict[str, Any]:
    """Rates of one part. said: object[n] (`text.grounds.Support`); marks: bool[n], unsupported."""
    flags = np.isin(said, UNSUPPORTED)
    parts: dict[str, Any] = {"claims": len(marks), "unsupported": int(marks.sum())}
    counts = {
        "flags_bad": (flags & marks, marks),
        "flags_good": (flags & ~marks, ~marks),
        "takes_bad": ((said == "supported") & marks, marks),
        "takes_good": ((said == "supported") & ~marks, ~marks),
    }
    for name, (hits, of) in counts.items():
        low, high = wilson(int(hits.sum()), int(of.sum()))
        parts[name] = {
            "rate": float(hits.sum() / of.sum()),
            "low": low,
            "high": high,
            "hits": int(hits.sum()),
        }
    parts["takes_bad"]["upper"] = bounds(int(counts["takes_bad"][0].sum()), int(marks.sum()))[1]
    return parts


def main() -> None:
    known = passages()
    rows = list(lines(ROOT / "benchmarks" / "claims_marked.jsonl"))
    said = np.array([support(row["claim"], known[row["passage"]]) for row in rows], object)
    marks = np.array([not row["supported"] for row in rows])
    lang = np.array([row["lang"] for row in rows])
    found: dict[str, Any] = {"all": told(said, marks)}
    found |= {name: told(said[lang == name], marks[lang == name]) for name in ("en", "ko")}
    flags = np.isin(said, UNSUPPORTED)
    measure = calibrated(flags, marks)
    held, draws, rng = 0, 400, np.random.default_rng(0)
    for _ in range(draws):  # answers of other shares, whose claims err as the marked ones do
        share = rng.uniform(0.05, 0.5)
        bad = rng.random(300) < share
        hits = np.where(bad, rng.random(300) < measure.found, rng.random(300) < measure.false)
        counts = np.stack([np.ones(300, np.int64), hits.astype(np.int64)], axis=1)
        one = claim_rate(counts, measure, rng)
        held += one.low is not None and one.high is not None and one.low <= bad.mean() <= one.high
    found["covered"] = {"draws": draws, "held": held / draws}
    (OUT / "claims.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUT / "claims.md").write_text(page(found))
    print(page(found))


def cell(one: dict[str, Any]) -> str:
    return f"{one['rate']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"


PAGE = """# Unsupported claims: how far the measure errs

`python benchmarks/claims.py`. Claims marked by hand on real passages (`benchmarks/claims_marked.jsonl`: \
claims, marks and ids of passages; the passages stay in the data). The developers of the \
measure wrote and marked them, one mark a claim: no second reader, nobody from outside, and no claim of a \
large model in service. Rates with Wilson's 95 % intervals.

| passages | claims (unsupported) | flags what is unsupported | flags what is supported | takes what is \
unsupported | takes what is supported |
|---|---|---|---|---|---|
{rows}

**False accepts**, unsupported claims that are called supported: {hits} of {bad}, at most {upper:.3f} \
(one-sided 95 %, Clopper-Pearson). What is neither flagged nor taken is `unclear`, and counts against no \
model.

The measure sees wording: in conversations, where what is said stands over a question and its answer, it \
flags {wrong:.0%} of what is supported in meaning. A share as it is flagged is therefore no estimate of \
the true one; with these marks taken out (Rogan and Gladen 1978), the interval of `claim_rate` held the \
true share in {held:.0%} of {draws} simulated sets of answers that err as these do. For the gate both \
models are flagged by the same measure on the same questions.
"""


def page(found: dict[str, Any]) -> str:
    """The results as a page."""
    names = {"all": "all", "en": "English conversations", "ko": "Korean paragraphs"}
    kinds = ("flags_bad", "flags_good", "takes_bad", "takes_good")
    rows = [
        f"| {title} | {found[k]['claims']} ({found[k]['unsupported']}) | "
        + " | ".join(cell(found[k][kind]) for kind in kinds)
        + " |"
        for k, title in names.items()
    ]
    every = found["all"]
    return PAGE.format(
        rows="\n".join(rows),
        hits=every["takes_bad"]["hits"],
        bad=every["unsupported"],
        upper=every["takes_bad"]["upper"],
        wrong=every["flags_good"]["rate"],
        **found["covered"],
    )


if __name__ == "__main__":
    main()
