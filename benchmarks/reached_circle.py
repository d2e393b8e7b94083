"""Bars of what closes the loop: the circle, the service, shipped models, forecasts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from circle_page import DESK, WANTED, accepted, fall, first_named, learnt, proposed
from reached_bar import RESULTS, Bar, interval, read, said


def circle() -> Iterator[Bar]:
    for name in ("clinc150", "nsmc_ko", "bccd"):
        if (RESULTS / f"circle_{name}.json").exists():
            yield from one_circle(name)


def one_circle(name: str) -> Iterator[Bar]:
    lives, start = read(f"circle_{name}"), f"circle, {name}"
    steps = [fall(life, before, after) for life in lives for _, before, after in accepted(life)]
    falls = sum(p < 0.05 for p in steps)
    yield Bar(
        f"{start}: accepted turns that fall significantly", f"{falls} of {len(steps)}", not falls, "circle"
    )
    ends = [(o["turns"][0]["serves"], o["turns"][-1]["serves"]) for o in lives]
    gains = [
        100 * (o["measured"][b]["accuracy"] - o["measured"][a]["accuracy"])
        for o, (a, b) in zip(lives, ends, strict=True)
    ]
    mean, low, high = interval(gains) if len(gains) > 1 else (gains[0],) * 3
    yield Bar(f"{start}: the last above the first, points", said(mean, low, high), low > 0, "circle")
    named = sum(first_named(life) is not None for life in lives)
    found = f"{named} of {len(lives)}"
    yield Bar(f"{start}: poisoned stream found in 95 %", found, named >= 0.95 * len(lives), "circle")
    good = {one for life in lives for t in life["turns"] for one in t["aside"]} - {DESK}
    yield Bar(f"{start}: good streams set aside", str(len(good)), not good, "circle")
    back = sum(any(e["version"] == "bad" for e in life["rolled_back"]) for life in lives)
    yield Bar(f"{start}: bad canary rolled back", f"{back} of {len(lives)}", back == len(lives), "circle")
    if lives[0]["missing"]:
        both = [len(learnt(o, b) & proposed(o)) for o, (_, b) in zip(lives, ends, strict=True)]
        asked = f"{start}: of 20 missing classes proposed, adopted, F1 >= .6 (15)"
        yield Bar(asked, f"{np.mean(both):.1f}, least {min(both)}", bool(np.mean(both) >= WANTED), "circle")
    if lives[0].get("rare"):
        times = [o["rare"]["found"] / max(o["rare"]["shown"], 1) / o["rare"]["share"] for o in lives]
        yield Bar(
            f"{start}: rare items shown / at random (3)", f"{np.mean(times):.1f}", min(times) >= 3, "circle"
        )


def service() -> Iterator[Bar]:
    for name, one in read("service")["data"].items():
        for what, (found, bar, reached) in one["asked"].items():
            if bar != "(printed)":
                yield Bar(f"service, {name}: {what} ({bar})", found, reached, "service")
    kills, switches = read("service_kills")["kills"], read("service_kills")["switches"]
    found = f"{kills['lost']} of {kills['acknowledged']:,}"
    yield Bar("service: acknowledged feedback lost in 100 kills", found, not kills["lost"], "service_kills")
    found = f"{switches['failed']} of {switches['requests']:,}"
    yield Bar("service: requests that fail at 40 switches", found, not switches["failed"], "service_kills")
    bodies = read("service_bodies")
    found = f"{len(bodies['wrong'])} of {bodies['bodies']:,}"
    sound = not bodies["wrong"] and bodies["alive"] and bodies["schemathesis"]["status"] == 0
    yield Bar("service: malformed bodies answered wrongly, schemathesis", found, sound, "service_bodies")


def edge() -> Iterator[Bar]:
    for name, runs in read("edge").items():
        same = min(run["onnx"]["same"] for run in runs)
        yield Bar(f"edge, {name}: fp32 equal answers (1)", f"{same:.4f}", same == 1, "edge")
        same = min(run["onnx-int8"]["same"] for run in runs)
        ratio = max(run["onnx-int8"]["head_bytes"] / run["onnx"]["head_bytes"] for run in runs)
        asked = f"edge, {name}: int8 equal answers (.995), head (.30)"
        yield Bar(asked, f"{same:.4f}, {ratio:.3f}", same >= 0.995 and ratio <= 0.3, "edge")
        kept = np.mean([run["student"]["accuracy"] / run["model"]["accuracy"] for run in runs])
        size = max(run["student"]["folder_bytes"] for run in runs)
        wait = max(run["student"].get("p50_ms", 0.0) for run in runs)  # timed once
        asked = f"edge, {name}: student keeps (.97), bytes (10^6), ms a row (.3)"
        good = kept >= 0.97 and size <= 1e6 and wait <= 0.3
        yield Bar(asked, f"{kept:.3f}, {size:,}, {wait:.2f}", bool(good), "edge")
    runs = read("edge_pictures")
    size = max(run["int8 static, per channel"]["head_bytes"] for run in runs)
    lost = 100 * np.mean(
        [run["fp32"]["accuracy"] - run["int8 static, per channel"]["accuracy"] for run in runs]
    )
    asked = "edge, digits CNN as int8: bytes (110,000), points lost (0)"
    yield Bar(asked, f"{size:,}, {lost:.2f}", size <= 110_000 and lost <= 0, "edge_pictures")


def forecasts() -> Iterator[Bar]:
    from forecast import by_life, judged

    rows = [row for row in judged(read("forecast")) if row["tells"]]
    for name, what in (("gain", "true gain"), ("reported", "reported score")):
        share = float(np.mean([row[name] for row in rows]))
        asked = f"forecast: 80 % intervals that hold the next turn's {what} (.70 to .92)"
        yield Bar(asked, f"{share:.2f}", 0.7 <= share <= 0.92, "forecast")
        gaps = interval([-one for one in by_life(rows, name)])
        asked = f"forecast: interval score of the {what} minus that of the last gain +- 2 errors, points"
        yield Bar(asked, said(*gaps), gaps[2] < 0, "forecast")
