"""Bars of verification: what was accepted of real models' answers, which scorers the audit finds out, what a
model learns from its own verified attempts.
"""

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


def attempts() -> Iterator[Bar]:
    runs = read("selftrain")["runs"]
    ends = [run["end"] for run in runs]
    asked = "sorting from 400 examples: right after four verified rounds, each of 3 seeds, .80"
    yield Bar(asked, f"{min(ends):.3f} at least", min(ends) >= 0.8 and len(runs) >= 3, "selftrain")
    cost = [run["cpu"] + sum(one["cpu"] for one in run["arms"]["verified"]) for run in runs]
    yield Bar("the same, CPU-seconds, 150 at most", f"{max(cost):.0f}", max(cost) <= 150, "selftrain")
    starts = [run["start"] for run in runs]
    others = {name: [run["arms"][name][-1]["test"] for run in runs] for name in ("unverified", "majority")}
    for name, below in {"the first model": starts, **others}.items():
        least = min(end - one for end, one in zip(ends, below, strict=True))
        yield Bar(f"the same, over {name}, +.40", f"{least:+.3f} at least", least >= 0.4, "selftrain")
    rounds = [one for run in runs for one in run["arms"]["verified"] if one["verdict"] == "accept"]
    fell = sum(one["test"] < one["before"] for one in rounds)
    asked = "accepted verified rounds in which people's held-out prompts got worse"
    yield Bar(asked, f"{fell} of {len(rounds)}", fell == 0, "selftrain")
    gains = [run["answering start"]["best"] - run["answering start"]["likeliest"] for run in runs]
    asked = "best of 16 by the verifier, the first model, over its likeliest answer, +.08"
    yield Bar(asked, f"{min(gains):+.3f} at least", min(gains) >= 0.08, "selftrain")
