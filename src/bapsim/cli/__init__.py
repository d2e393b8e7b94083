"""The program `bapsim`: `main`, and a verb for each thing that one may do."""

from bapsim.cli import asking, watching
from bapsim.cli.verbs import main

__all__ = ["asking", "main", "watching"]
