"""Bars of what machines draw for a rare class: how near the pick comes, whether labels are advised."""

from __future__ import annotations

from collections.abc import Iterator

from rare_page import best_here, good, pick, real_wins, says_buy
from reached_bar import Bar, read


def drawn() -> Iterator[Bar]:
    runs = [one for one in read("rare_classes") if one["dev"]]
    for apart, of in ((False, "a standard error of the best arm"), (True, "one of the difference to it")):
        near = sum(good(one, pick(one), best_here(one, runs), apart) for one in runs)
        asked = f"rare classes: the pick lies within {of} in 90 % of runs"
        yield Bar(asked, f"{near} of {len(runs)}", near >= 0.9 * len(runs), "rare_classes")
    wins = [one for one in runs if real_wins(one)]
    said = sum(map(says_buy, wins))
    asked = 'rare classes: "buy real labels" is said where these win, in 90 % of runs'
    yield Bar(asked, f"{said} of {len(wins)}", said >= 0.9 * len(wins), "rare_classes")
