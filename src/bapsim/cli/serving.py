"""The verb `serve`: start a service, tell how it stands, or change which models it runs."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bapsim.cli.group import verb
from bapsim.core.errors import InputError, MissingExtra, text
from bapsim.report.desk import Desk, desk

PARTS = ("fastapi", "orjson", "uvicorn", "python_multipart", "prometheus_client")  # of the extra
TERMS = ("rights", "purpose", "consent", "pii", "durable", "retain")
CHANGES = ("shadow", "canary", "promote", "rollback")


def _said(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Collects what a user says."""
    context.meta.setdefault("said", {})[parameter.name] = value


def _option(*names: str, **about: Any) -> Any:
    return click.option(*names, expose_value=False, callback=_said, **about)


@verb(
    _option("--host", metavar="ADDRESS", default="127.0.0.1"),
    _option("--port", metavar="N", type=click.IntRange(0, 65535), default=8000),
    _option("--workers", metavar="N", type=click.IntRange(1, 64), default=1),
    _option("--deployment", metavar="NAME", default="main"),
    _option("--rights", metavar="NAME"),
    _option("--purpose", metavar="TEXT"),
    _option("--consent", metavar="NAME"),
    _option("--pii", type=click.Choice(("mask", "keep"))),
    _option("--durable/--no-durable", default=None),
    _option("--retain", metavar="DAYS", type=click.IntRange(1)),
    _option("--rate", metavar="N", type=click.FloatRange(0, min_open=True)),
    _option("--people/--no-people", default=None),
    _option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
    _option("--tls-key", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
    _option("--insecure", is_flag=True),
    _option("--shadow", metavar="VERSION|newest|none"),
    _option("--canary", metavar="VERSION|newest|none"),
    _option("--share", metavar="SHARE", type=float, default=0.1),
    _option("--promote", is_flag=True),
    _option("--rollback", is_flag=True),
    _option("--reason", metavar="TEXT"),
    _option("--status", is_flag=True),
)
def _serve() -> dict[str, Any]:
    missing = [part for part in PARTS if importlib.util.find_spec(part) is None]
    if missing:
        raise MissingExtra("no_serve_extra", missing=", ".join(missing))
    room, said = desk(), click.get_current_context().meta["said"]
    if said["status"]:
        return _status(room, said["deployment"])
    asked = [name for name in CHANGES if said[name]]
    if len(asked) > 1:
        raise InputError("serve_several", asked=", ".join(f"--{name}" for name in asked))
    changed = _change(room, said, asked[0]) if asked else None
    if changed is not None and (said["promote"] or said["rollback"] or _runs(room, said["deployment"])):
        return {"release": changed}
    return _run(room, said)


def _runs(room: Desk, name: str) -> bool:
    from bapsim.serve.deployment import runs

    return runs(room.folder, name)


def _status(room: Desk, name: str) -> dict[str, Any]:
    from bapsim.report.served import say_status
    from bapsim.serve.status import status

    facts = status(room.folder, room.recipe().task, name)
    say_status(room, facts)
    return facts


def _change(room: Desk, said: Mapping[str, Any], what: Any) -> dict[str, Any]:
    """Change the release; running services follow."""
    from bapsim.serve.release import change, newest, read

    room.recipe()  # there is a project
    if not (said["reason"] or "").strip():
        raise InputError("serve_reason")
    wanted = said[what] if what in ("shadow", "canary") else None
    version = newest(room.folder) if wanted == "newest" else None if wanted == "none" else wanted
    share = {"share": said["share"]} if what == "canary" else {}
    before = read(room.folder).n
    new = change(room.folder, what, version, f"person: {said['reason']}", **share)
    key = "serve.changed" if new.n != before else "serve.no_change"
    named = new.history[-1].version if new.history else None
    nobody = "–" if what in ("shadow", "canary") else text("live.ledger", room.lang)
    room.say(key, what=text(f"live.what.{what}", room.lang), version=named or nobody)
    return asdict(new) | {"history": [one._asdict() for one in new.history]}


def _run(room: Desk, said: Mapping[str, Any]) -> dict[str, Any]:
    """Serve until a signal ends it."""
    from bapsim.serve import deployment
    from bapsim.serve.openapi import curl
    from bapsim.serve.refused import Limits
    from bapsim.serve.retention import log_folder
    from bapsim.serve.running import Setting, about_of, listen, serve, typed_task

    root, name = room.folder, str(said["deployment"])
    people = _has_rooms(root, said)
    version = _version(root, people)
    limits = Limits(rate=said["rate"])
    with deployment.held(root, name) as lock, listen(said["host"], said["port"]) as held:
        terms = deployment.agreed(root, name, {term: said[term] for term in TERMS})
        port = held.getsockname()[1]
        url = f"{'https' if said['tls_cert'] else 'http'}://{_named(said['host'])}:{port}"
        if version is None:
            room.say("serve.rooms_only", url=url)
        else:
            room.say("serve.begins", version=version, url=url)
        if people:
            room.say("serve.rooms", url=url, bapsim=room.called)
        pii = text(f"serve.pii.{terms.pii}", room.lang)
        room.say("serve.log", path=str(log_folder(root)), pii=pii, rights=terms.rights)
        if not _is_near(said["host"]):
            room.say("serve.open", host=said["host"])
        if version is not None:
            about = about_of(root, *typed_task(root), limits, ())
            room.say("serve.try", curl=curl(about, url))
        setting = Setting(
            root=str(Path(root).resolve()),
            deployment=name,
            workers=said["workers"],
            limits={"rate": said["rate"]},
            people=people,
            cert=None if said["tls_cert"] is None else str(said["tls_cert"].resolve()),
            key=None if said["tls_key"] is None else str(said["tls_key"].resolve()),
        )
        if people:
            _write_address(root, url)
        serve(setting, held, lock)
    room.say("serve.ended")
    return {"deployment": name, "url": url, "ended": True}


def _has_rooms(root: Path, said: Mapping[str, Any]) -> bool:
    """Whether people's rooms are open: where asked for, or set up before. Beyond this machine they need
    TLS, for sessions travel, or somebody who says that a proxy does it.
    """
    from bapsim.serve.people.rooms import is_open

    if (said["tls_cert"] is None) != (said["tls_key"] is None):
        raise InputError("serve_half_tls")
    people = is_open(root) if said["people"] is None else bool(said["people"])
    if people and not (_is_near(said["host"]) or said["tls_cert"] or said["insecure"]):
        raise InputError("people_needs_tls", host=said["host"])
    return people


def _version(root: Path, people: bool) -> str | None:
    """Which model serves; None where there is none yet, and the rooms are open without it."""
    from bapsim.serve import release
    from bapsim.serve.running import typed_task
    from bapsim.wheel.founding import load_recipe

    load_recipe(root)
    if people and not (root / "wheel" / "ledger.sqlite").exists():
        return None
    typed_task(root)
    version = release.serving(root, release.read(root))
    if version is None and not people:
        raise InputError("nothing_serves")
    return version


def _write_address(root: Path, url: str) -> None:
    """Where the rooms are, for links that `bapsim people` makes."""
    from bapsim.serve.people.rooms import folder_of, key_of

    key_of(root)  # makes the folder
    (folder_of(root) / "address").write_text(url, "utf-8")


def _is_near(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host in ("::1", "localhost") or host.startswith("127.")


def _named(host: str) -> str:
    """A host as it stands in an address."""
    return f"[{host}]" if ":" in host else host
