"""Bars of verification: what was accepted of real models' answers, which scorers the audit finds out."""

from __future__ import annotations

from collections.abc import Iterator

from reached_bar import Bar, read

KNOWN_BAD = (
    "game_of_life_halting",
    "number_sorting",
    "gsm_symbolic",
    "knights_knaves",
    "power_function",
    "decimal_arithmetic",
)


def verification() -> Iterator[Bar]:
    said = read("verifiers")
    three = said["solutions"]["3 of 4 models agree"]
    (right, *ends), recall = three["precision"], three["recall"][0]
    found = f"{right:.3f} [{ends[0]:.3f}, {ends[1]:.3f}] at {recall:.2f}"
    asked = "GPT-3's solutions: precision of accepted above .90 at a recall of .5, generators agreeing"
    yield Bar(asked, found, right > 0.9 and recall >= 0.5, "verifiers")
    alone = said["solutions"]["arithmetic"]["precision"][0]
    asked = "the same, right arithmetic alone: reported as not enough"
    yield Bar(asked, f"{alone:.3f}", not said["audits"]["arithmetic, gsm8k"]["admits"], "verifiers")
    flagged = sum(bool(said["gym"][name]["flagged"]) for name in KNOWN_BAD)
    yield Bar(
        "scorers known to be lenient that the audit finds out", f"{flagged} of 6", flagged == 6, "verifiers"
    )
    for name in ("nsmc_ko", "banking77", "hate_ko"):
        taken, wrong = said["labels"][name]["limit 0.02"]["let_in"]
        asked = f"{name}: a weak generator's wrong labels that agrees() lets in, at most 2 %"
        yield Bar(asked, f"{100 * taken / wrong:.1f} %", taken <= 0.02 * wrong, "verifiers")
