"""The page and the picture of benchmarks/circle.py."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from scipy.stats import binom

from lab import interval

GOOD, WANTED = 0.6, 15  # F1 from which a class counts as learnt; how many of the missing ones should be
DESK = "service/by:desk-4"
COLOURS = {"accept": "#1a7f37", "undecided": "#9a6700", "refuse": "#cf222e"}


def right(life: dict[str, Any], version: str) -> np.ndarray:
    bits = np.frombuffer(bytes.fromhex(life["measured"][version]["right"]), np.uint8)
    return np.unpackbits(bits).astype(bool)


def fall(life: dict[str, Any], before: str, after: str) -> float:
    """The chance of so many more errors after than before, if both were as good (McNemar, mid-p)."""
    old, new = right(life, before), right(life, after)
    lost, won = int((old & ~new).sum()), int((~old & new).sum())
    return (
        float(binom.sf(lost, lost + won, 0.5) + 0.5 * binom.pmf(lost, lost + won, 0.5)) if lost + won else 1.0
    )


def accepted(life: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Turns after which another version serves, proven by the exam or by a duel: turn, before, after."""
    found, before = [], None
    for one in life["turns"]:
        proven = one["verdict"] == "accept" or one["duel"] == "accept"
        if proven and before not in (None, one["serves"]):
            found.append((one["turn"], before, one["serves"]))
        before = one["serves"]
    return found


def learnt(life: dict[str, Any], version: str) -> set[str]:
    return {name for name, value in life["measured"][version]["f1"].items() if value >= GOOD}


def proposed(life: dict[str, Any]) -> set[str]:
    return {name for said in life["proposed"].values() for name in said} & set(life["missing"])


def first_named(life: dict[str, Any]) -> int | None:
    return next((one["turn"] for one in life["turns"] if DESK in one["aside"]), None)


ABOUT = {
    "clinc150": "10 rows a class, 20 of 150 classes missing; 1,600 requests before the second turn, 1,200 "
    "before each later one, out-of-scope ones among them; 300 questions a turn at most.",
    "nsmc_ko": "By year: 1,000 reviews until 2008, then requests of 2009 to 2014 in their order; untouched "
    "are reviews of 2015; 300 questions a turn at most.",
    "bccd": "BCCD crops as uploaded pictures: 100 at hand, three of them platelets, which are looked for "
    "(`retrieve`); 60 questions a turn at most; the untouched crops are of other photographs.",
}


def page(worlds: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        "# The full circle, by itself",
        "",
        "Real processes (`bapsim serve`, `bapsim watch`), HTTP requests, files; no verb is typed after the "
        "first. The right label comes back late for a tenth of the requests, from four desks, one of which "
        "is wrong in 40 %; half-way somebody starts a canary that fails on every other request. Figures are "
        "of what **serves**, on traffic that is never sent.",
        "",
    ]
    for name, lives in worlds.items():
        command = f"python benchmarks/circle.py --world {name} --seeds {len(lives)}"
        lines += [
            f"## {name}",
            "",
            f"{ABOUT[name]} Made by `{command}`.",
            "",
            *by_turn(lives),
            "",
            *claims(lives),
            "",
        ]
    return "\n".join(lines)


def by_turn(lives: list[dict[str, Any]]) -> list[str]:
    """Means over lives after each turn."""
    scoped, missing = "auroc" in next(iter(lives[0]["measured"].values())), bool(lives[0]["missing"])
    head = ["after turn", "lives", "accuracy, %", *(["out-of-scope AUROC, %"] if scoped else [])]
    head += [*(["missing classes with F1 >= .6"] if missing else []), "verdicts"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for n in range(1, max(len(one["turns"]) for one in lives) + 1):
        there = [(one, one["turns"][n - 1]) for one in lives if len(one["turns"]) >= n]
        said = [life["measured"][t["serves"]] for life, t in there]
        names = ("accuracy", "auroc") if scoped else ("accuracy",)
        cells = [
            str(n),
            str(len(there)),
            *(f"{100 * np.mean([m[name] for m in said]):.1f}" for name in names),
        ]
        cells += [f"{np.mean([len(learnt(life, t['serves'])) for life, t in there]):.1f}"] if missing else []
        words = [t["verdict"] for _, t in there]
        told = ", ".join(f"{words.count(w)} {w}" for w in ("accept", "undecided", "refuse") if w in words)
        duels = sum(t["duel"] == "accept" for _, t in there)
        lines.append(f"| {' | '.join([*cells, told + (f'; {duels} by duel' if duels else '')])} |")
    return lines


def claims(lives: list[dict[str, Any]]) -> list[str]:
    """What was asked of the circle, and what came of it."""
    n, turns = len(lives), [len(one["turns"]) for one in lives]
    found = [first_named(life) for life in lives]
    named = [turn for turn in found if turn is not None]
    others = {name for life in lives for t in life["turns"] for name in t["aside"]} - {DESK}
    back = sum(any(e["version"] == "bad" for e in life["rolled_back"]) for life in lives)
    seconds = np.median([life["seconds"] for life in lives])
    reached = {
        "at least 4 turns with no other command": f"{min(turns)} to {max(turns)} turns in {n} lives",
        **gains(lives),
        **(classes(lives) if lives[0]["missing"] else {}),
        **(rare(lives) if lives[0].get("rare") else {}),
        "the poisoned desk is found and left out in 95 %": f"{len(named)} of {n}, after turn "
        f"{np.median(named or [0]):.0f} (median); good ones: {', '.join(sorted(others)) or 'none'}",
        "a bad canary is rolled back": f"{back} of {n}",
        "time": f"{seconds:.0f} s a life (median), processes and HTTP included",
    }
    return ["| asked | reached |", "|---|---|", *(f"| {name} | {said} |" for name, said in reached.items())]


def classes(lives: list[dict[str, Any]]) -> dict[str, str]:
    """How many of the missing classes were learnt, and how many of these were asked about as new ones."""
    n = len(lives)
    good = [len(learnt(life, life["turns"][-1]["serves"])) for life in lives]
    both = [len(learnt(life, life["turns"][-1]["serves"]) & proposed(life)) for life in lives]
    asked = np.mean([sum(len(said) for said in life["proposed"].values()) for life in lives])
    return {
        "15 of 20 missing classes adopted, with F1 >= .6": f"{sum(g >= WANTED for g in good)} of {n} lives; "
        f"{np.mean(good):.1f} classes on average, {min(good)} at least",
        "and asked about as a likely new class": f"{sum(b >= WANTED for b in both)} of {n} lives have 15 of "
        f"those; {np.mean(both):.1f} on average, {min(both)} at least; {asked:.0f} such questions a life",
    }


def rare(lives: list[dict[str, Any]]) -> dict[str, str]:
    """How many of those that were shown as likely are of the class that is looked for."""
    shown, found = (sum(life["rare"][name] for life in lives) for name in ("shown", "found"))
    share = float(np.mean([life["rare"]["share"] for life in lives]))
    times = [life["rare"]["found"] / max(life["rare"]["shown"], 1) / life["rare"]["share"] for life in lives]
    return {
        "3 times as many rare items per 100 shown as at random": f"{100 * found / max(shown, 1):.0f} of 100 "
        f"({shown} shown), at random {100 * share:.1f}: {np.mean(times):.1f} times, {min(times):.1f} at least"
    }


def gains(lives: list[dict[str, Any]]) -> dict[str, str]:
    """Accuracy and out-of-scope AUROC at accepted turns, and from the first turn to the last."""
    steps = [(life, *step) for life in lives for step in accepted(life)]
    falls = [fall(life, before, after) for life, _, before, after in steps]
    ends = [(life, life["turns"][0]["serves"], life["turns"][-1]["serves"]) for life in lives]

    def gain(name: str, life: dict[str, Any], before: str, after: str) -> float:
        return 100 * (life["measured"][after][name] - life["measured"][before][name])

    surely = sum(fall(life, after, before) < 0.001 for life, before, after in ends)
    names = [name for name in ("accuracy", "auroc") if name in next(iter(lives[0]["measured"].values()))]
    whole = {name: interval([gain(name, *end) for end in ends]) for name in names}
    said = [f"{name} {mean:+.1f} [{low:+.1f}, {high:+.1f}]" for name, (mean, low, high) in whole.items()]
    found = {
        "accuracy never falls significantly at an accepted turn": f"falls: {sum(p < 0.05 for p in falls)} of "
        f"{len(steps)} accepted turns at .05 one-sided (McNemar, mid-p); least p {min(falls, default=1):.3f}",
        "the last is significantly above the first": f"{surely} of {len(lives)} lives at .001; mean gain in "
        f"points: {', '.join(said)}",
    }
    if "auroc" in names:
        down = [gain("auroc", life, before, after) for life, _, before, after in steps]
        worst = f"{np.mean(down):+.2f} points on average at these turns, worst {min(down, default=0):+.2f}"
        found["nor does out-of-scope AUROC"] = worst
    return found


# --------------------------------------------------------------------------- one run as a picture

WIDE, HIGH, LEFT, TOP, BOTTOM = 860, 420, 60, 60, 120


def story(life: dict[str, Any]) -> str:
    """One life as a picture: what serves after each turn, what happened, who decided."""
    turns = life["turns"]
    values = [100 * life["measured"][t["serves"]]["accuracy"] for t in turns]
    scopes = [100 * life["measured"][t["serves"]]["auroc"] for t in turns]
    low = 5 * np.floor(min([*values, *scopes]) / 5)
    x = [LEFT + (WIDE - LEFT - 40) * k / max(len(turns) - 1, 1) for k in range(len(turns))]

    def y(value: float) -> float:
        return TOP + (HIGH - TOP - BOTTOM) * (100 - value) / (100 - low)

    parts = [
        _text(
            LEFT,
            28,
            "One run of the circle: accuracy and out-of-scope AUROC of what serves (%)",
            15,
            bold=True,
        )
    ]
    for value in np.arange(low, 101, 5):
        parts.append(f'<path d="M{LEFT} {y(value):.1f}H{WIDE - 40}" stroke="#d0d7de"/>')
        parts.append(_text(LEFT - 8, y(value) + 4, f"{value:.0f}", 11, anchor="end"))
    for series, colour, name in ((scopes, "#8250df", "AUROC"), (values, "#0969da", "accuracy")):
        line = " ".join(f"{a:.1f},{y(b):.1f}" for a, b in zip(x, series, strict=True))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(x[-1], y(series[-1]) - 12, name, 12, anchor="end", colour=colour))
    for k, one in enumerate(turns):
        colour = COLOURS["accept" if one["duel"] == "accept" else one["verdict"]]
        parts.append(f'<circle cx="{x[k]:.1f}" cy="{y(values[k]):.1f}" r="5" fill="{colour}"/>')
        for row, said in enumerate(_events(life, k)):
            parts.append(_text(x[k], HIGH - BOTTOM + 28 + 15 * row, said, 11, anchor="middle"))
    body = "\n".join(parts)
    key = (
        "green: proven by the exam or a duel; amber: undecided, so what was proven, or is no worse, serves on"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" '
        f'role="img"><rect width="{WIDE}" height="{HIGH}" fill="#ffffff"/>\n{body}\n'
        f"{_text(LEFT, HIGH - 10, key, 11)}\n</svg>\n"
    )


def _events(life: dict[str, Any], k: int) -> list[str]:
    one = life["turns"][k]
    said = [f"turn {one['turn']}"]
    said += ["duel: better"] if one["duel"] == "accept" else []
    said += ["desk-4 set aside"] if one["turn"] == first_named(life) else []
    before = learnt(life, life["turns"][k - 1]["serves"]) if k else set()
    new = len(learnt(life, one["serves"]) - before)
    said += [f"+{new} classes"] if new else []
    return said


def _text(x: float, y: float, said: str, size: int, **more: Any) -> str:
    """One line of text; more: anchor, colour, weight."""
    style = f'font-size="{size}" text-anchor="{more.get("anchor", "start")}" '
    style += f'fill="{more.get("colour", "#1f2328")}" font-weight="{more.get("weight", 400)}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(said)}</text>'
