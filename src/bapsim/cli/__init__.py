"""The program `bapsim`: `main`, and a verb for each thing that one may do."""

from bapsim.cli import asking, lab, paying, people, serving, shipping, verbs, watching, withdrawing
from bapsim.cli.group import main

ORDER = (  # of a person's work
    *("audit", "new", "add", "turn", "ask", "show", "why", "use"),
    *("people", "serve", "watch", "pay", "withdraw", "ship", "predict", "check", "export", "lab", "demo"),
)
main.commands = dict(sorted(main.commands.items(), key=lambda pair: ORDER.index(pair[0])))

__all__ = [
    "ORDER",
    "asking",
    "lab",
    "main",
    "paying",
    "people",
    "serving",
    "shipping",
    "verbs",
    "watching",
    "withdrawing",
]
