"""Bars of people: the rooms under load, the room's first look, who is right, withdrawal."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from reached_bar import Bar, read


def withdrawal() -> Iterator[Bar]:
    """Nothing is found after kills; the closure is quick and whole."""
    kills = read("withdraw_kills")
    found = f"{kills['found']} found, {kills['done']} of {kills['lives']} finished, {kills['kills']} kills"
    sound = not kills["found"] and kills["done"] == kills["lives"] and kills["kills"] >= 100
    asked = "withdrawal: canaries found in any file after 100 kills and the next run"
    yield Bar(asked, found, sound, "withdraw_kills")
    closure = read("withdraw_closure")
    seconds = median(wall for wall, _ in closure["warm"])
    asked = "withdrawal: closure among 1,000,000 records, an expert of 2,000, at most .1 s"
    yield Bar(asked, f"{seconds:.3f} s", seconds <= 0.1, "withdraw_closure")
    missed = closure["compared"]["missing"] + closure["compared"]["too_many"]
    yield Bar(
        "withdrawal: closure against a walk over all parents",
        f"{missed} differ",
        not missed,
        "withdraw_closure",
    )


def rooms() -> Iterator[Bar]:
    """Live experts, kills, and how long a look takes."""
    for name, one in read("rooms_load")["databases"].items():
        p95 = one["load"]["answered"]["p95"]
        asked = f"rooms on {name}: 200 experts, 30 writes a second, p95 at most 250 ms"
        yield Bar(asked, f"{p95:.0f} ms", p95 <= 250, "rooms_load")
        if (kills := one.get("kills")) is None:  # one worker on Postgres is measured beside two
            continue
        lost = f"{kills['lost']} of {kills['acknowledged']:,} lost in {kills['kills']} kills"
        sound = not kills["lost"] and kills["kills"] >= 100
        yield Bar(f"rooms on {name}: acknowledged answers lost in 100 kills", lost, sound, "rooms_load")
    for name, one in read("lesson")["sets"].items():
        asked = f"room on {name}: what an answer changes is shown within 3 s"
        found = f"{100 * one['within']:.0f} % of {one['sessions']}, p95 {one['p95']:.2f} s"
        yield Bar(asked, found, one["within"] == 1.0, "lesson")
    projects = read("rooms_axe")["projects"].values()
    wrong, looks = sum(len(one["wrong"]) for one in projects), sum(one["looks"] for one in projects)
    asked = "every page for people in Chromium: axe, width, console, targets: nothing wrong"
    yield Bar(asked, f"{wrong} of {looks} looks", not wrong, "rooms_axe")


def crowds() -> Iterator[Bar]:
    """Settling votes against the majority, on real crowds."""
    for one in read("crowds")["real"]:
        mean, low, high = one["gold 20"]["gain"]
        shown = f"{100 * mean:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}] points"
        if one["set"] == "bluebirds":
            yield Bar("votes on bluebirds: significantly above the majority", shown, low > 0, "crowds")
        else:
            asked = f"votes on {one['set']}: not significantly below the majority"
            yield Bar(asked, shown, high >= 0, "crowds")
