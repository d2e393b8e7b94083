"""Bars of machines that write: endpoints, the guard, a language model, policies on their text, claims."""

from __future__ import annotations

from collections.abc import Iterator

from collapse import bars
from reached_bar import Bar, read


def machines() -> Iterator[Bar]:
    said = read("synthesis")
    places = {"speed": "an endpoint that waits 10 ms", "speed_llama": "llama.cpp and 10 ms"}
    for name, place in places.items():
        for flying, one in said[name].items():
            asked = f"asking {place}, {flying} in flight: .95 of a bare asyncio load"
            found = f"{one['ratio']:.3f} [{one['least']:.3f}, {one['most']:.3f}]"
            yield Bar(asked, found, one["ratio"] >= 0.95, "synthesis")
    kill, fault = said["kills"], said["faults"]
    twice = kill["repeated"] + max(0, kill["extra"])
    asked = "asking, killed 100 times: nothing finished is asked twice, no more in doubt than in flight"
    found = f"{kill['kills']} kills, {twice} asked twice, {kill['most_doubts']} in doubt at most"
    good = kill["kills"] >= 100 and not twice and kill["most_doubts"] <= kill["flying"]
    yield Bar(asked, found, good, "synthesis")
    asked = "asking, a quarter of the answers bad: each by the schema, or refused with a reason"
    yield Bar(
        asked,
        f"{fault['unaccounted']} of {fault['count']} unaccounted for",
        not fault["unaccounted"],
        "synthesis",
    )
    deaf = read("synthesis_ignoring")
    found = f"{deaf['answered']} of {deaf['count']} taken, {deaf['again']} asked again"
    asked = "a server that ignores the schema gets nothing past the driver"
    yield Bar(asked, found, not deaf["answered"] and not deaf["again"], "synthesis_ignoring")
    for name, one in read("guard_overhead").items():
        asked = f"{name}: signals and audits cost at most 5 % of the rest of a turn"
        yield Bar(asked, f"{100 * one['share']:.1f} %", one["share"] <= 0.05, "guard_overhead")
    own = read("lm_scratch")
    asked = "a language model from nothing: at most 1.15 of a nanoGPT-type loop's time"
    yield Bar(asked, f"{own['ratio_cpu']:.2f}", own["fast_enough"], "lm_scratch")
    asked = "a language model from nothing: its loss is not above that loop's by more than noise"
    yield Bar(asked, f"{own['gap']:+.3f} nats a byte", own["as_good"], "lm_scratch")
    for asked, found, good in bars(read("collapse")):
        yield Bar(f"plays, machine-made text: {asked}", found, good, "collapse")
    marked = read("claims")["all"]
    taken, found = marked["takes_bad"], marked["flags_bad"]["rate"] - marked["flags_good"]["rate"]
    asked = "claims marked by hand: 200 at least, none that is unsupported is called supported"
    said = f"{marked['claims']}, {taken['hits']} of {marked['unsupported']}"
    yield Bar(asked, said, marked["claims"] >= 200 and not taken["hits"], "claims")
    asked = "claims marked by hand: the measure tells unsupported ones from others"
    yield Bar(asked, f"{found:.2f}", found > 0.5, "claims")
