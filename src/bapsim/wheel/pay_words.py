"""A rule of pay as people read it: in the notice before they consent, and in their statement."""

from __future__ import annotations

from collections.abc import Iterator

from bapsim.core.errors import text
from bapsim.judge.pay import Pay
from bapsim.mods import Money


def rule_in_words(rule: Pay, lang: str) -> list[str]:
    """A rule of pay as sentences, as a consent shows it."""
    values = {name: f"{money.amount} {money.currency}" for name, money in _amounts(rule)}
    share, idle = f"{100 * rule.share:g}", f"{rule.idle:g}"
    shares = bool(rule.share and rule.worth.minor)
    said = [
        text("pay.rule.time", lang, hour=values["hour"], idle=idle),
        text("pay.rule.bonus", lang, bonus=values["bonus"])
        if rule.bonus.minor
        else text("pay.rule.no_bonus", lang),
        text("pay.rule.share", lang, share=share, worth=values["worth"])
        if shares
        else text("pay.rule.no_share", lang),
    ]
    return [*said, text("pay.rule.books", lang)]


def _amounts(rule: Pay) -> Iterator[tuple[str, Money]]:
    yield from (("hour", rule.hour), ("bonus", rule.bonus), ("worth", rule.worth))
