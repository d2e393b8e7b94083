"""The program `bapsim`, and how a verb of it is made: it prints words, or one JSON object with --json."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from bapsim.report.desk import SHARED, Verbs, desk


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90})
@click.version_option(package_name="bapsim")
@SHARED[2]
@SHARED[1]
@SHARED[0]
def main() -> None:
    """The program `bapsim`; its verbs follow."""


@main.result_callback()
def _print_json(said: dict[str, Any]) -> None:
    if desk().as_json:
        click.echo(json.dumps(said, ensure_ascii=False, sort_keys=True))
    if said.get("ok") is False:
        click.get_current_context().exit(1)


def verb(*parameters: Callable[..., Any]) -> Callable[[Callable[..., dict[str, Any]]], click.Command]:
    """A verb of the function's name; the function prints words and returns what --json prints."""

    def made(function: Callable[..., dict[str, Any]]) -> click.Command:
        for parameter in reversed([*parameters, *SHARED]):
            function = parameter(function)
        return main.command(function.__name__.strip("_"))(function)

    return made
