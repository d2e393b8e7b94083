"""Which licence stands for each file of a folder: what it says itself, and what lies beside and above it.

In this order: FILE.license and tags in the file (REUSE), REUSE.toml, debian/copyright (DEP-5), the licence
texts of the nearest folder, and what its README or metadata state. Where several stand together, all hold.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bapsim.gather.licence_links import licence_of_url
from bapsim.text.dep5 import Copyright, dep5, is_dep5
from bapsim.text.licence_texts import licences, tagged
from bapsim.text.spdx import expression

UNKNOWN = "unknown"
DETECT = "detect"  # rights of a source that is to look for them
_LETTERS = 300_000  # of a licence text; a README is read as far
_HEAD = 4_000  # letters of a file in which a tag or header stands
_TEXTS = re.compile(
    r"(?i)^(?:un)?licen[sc]es?(?:[-_.].*)?$|^copying(?:[-_.].*)?$|^.*[-_.]licen[sc]e(?:\.(?:txt|md))?$"
)
_READMES = re.compile(r"(?i)^readme(?:\.(?:md|txt|rst))?$")
_MAPS = ("REUSE.toml", "debian/copyright", "copyright")
_METADATA = ("datapackage.json", "dataset_info.json", "croissant.json")
_DATA = re.compile(r"(?i)\.(?:csv|tsv|tab|json|jsonl|ndjson|parquet|pq|xlsx|xlsm|gz|zst)$")
_CODE = re.compile(r"(?i)\.(?:py|c|h|cc|cpp|js|ts|java|rs|go|rb|pl|sh|php|css)$")
_PROSE = re.compile(r"(?i)\.(?:txt|md|rst|html?|xml|tex)$")  # may be about licences: only a tag speaks for it
_SECTION = re.compile(
    r"(?ims)^(?:#+[ \t]*|)(?:licen[sc]es?|licensing|라이선스|라이센스|이용허락)\b[^\n]*\n"
    r"(.{0,4000}?)(?=^#|\Z)"
)
_STATED = re.compile(r"(?i)[^\n.]{0,200}\b(?:licen[sc]ed?|public domain|공공누리|라이선스)\b[^\n]{0,300}")


@dataclass(frozen=True)
class Found:
    """A licence, and the file that says so; `unknown` and an empty name where nothing does."""

    rights: str
    file: str = ""


@dataclass
class FolderRights:
    """The licences of the files below a root; every folder is looked at once."""

    root: Path
    _near: dict[Path, Found] = field(default_factory=dict)
    _maps: dict[Path, Copyright | None] = field(default_factory=dict)

    def of(self, path: Path) -> Found:
        """The licence that stands for a file below the root, by the nearest evidence."""
        folder = path if path.is_dir() else path.parent
        for found in (self._own(path), self._mapped(path), self._nearest(folder)):
            if found is not None:
                return found
        return Found(UNKNOWN)

    def _own(self, path: Path) -> Found | None:
        beside = path.with_name(path.name + ".license")
        if beside.is_file() and (said := _expression(_read(beside, _HEAD))) is not None:
            return Found(said, self._name(beside))
        code = _CODE.search(path.name) is not None
        if not code and _PROSE.search(path.name) is None:
            return None
        head = _read(path, _HEAD)
        said = _expression(head) if code else _all_of(tagged(head))
        return None if said is None else Found(said, self._name(path))

    def _mapped(self, path: Path) -> Found | None:
        for folder in self._up(path.parent):
            below = path.relative_to(folder).as_posix()
            for place in (folder / name for name in _MAPS):
                if place not in self._maps:
                    self._maps[place] = _map(place)
                licences = self._maps[place]
                said = None if licences is None else licences.licence_of(below)
                if said is not None:
                    return Found(said, self._name(place))
        return None

    def _nearest(self, folder: Path) -> Found | None:
        for one in self._up(folder):
            if one not in self._near:
                self._near[one] = self._stated(one)
            if self._near[one].file:  # a licence that nobody knows is not replaced by one further up
                return self._near[one]
        return None

    def _stated(self, folder: Path) -> Found:
        """What the texts of one folder state: licence files first, then README, then metadata."""
        names = sorted(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []
        texts = [n for n in names if _TEXTS.match(n) and not _DATA.search(n) and not n.endswith(".license")]
        whole = {one for n in texts for one in licences(_read(folder / n, _LETTERS))}
        if texts:
            return Found(_all_of(sorted(whole)) or UNKNOWN, self._name(folder / texts[0]))
        for name in (n for n in names if _READMES.match(n)):
            said_of_itself = _readme(_read(folder / name, _LETTERS))
            if said_of_itself is not None:
                return Found(said_of_itself, self._name(folder / name))
        for name in _METADATA:
            stated = _metadata(_read(folder / name, _LETTERS)) if name in names else None
            if stated is not None:
                return Found(stated, self._name(folder / name))
        return Found(UNKNOWN)

    def _up(self, folder: Path) -> Iterator[Path]:
        """A folder and those above it, to the root."""
        yield folder
        while folder != self.root and self.root in folder.parents:
            folder = folder.parent
            yield folder

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def parted(root: Path, paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files of data, and files below the root that speak about them: among them, beside and above them."""
    data = [path for path in paths if not _is_evidence(path)]
    folders = {above for path in paths for above in path.parents if above == root or root in above.parents}
    beside = [
        path for folder in folders for path in folder.iterdir() if path.is_file() and _is_evidence(path)
    ]
    beside += [folder / name for folder in folders for name in _MAPS if (folder / name).is_file()]
    return data, sorted({*beside, *(path for path in paths if _is_evidence(path))})


def _is_evidence(path: Path) -> bool:
    """Whether a file says under which licence others are, and is no data itself."""
    name = path.name
    if _DATA.search(name):
        return name in _METADATA
    known = _TEXTS.match(name) or _READMES.match(name) or name in ("REUSE.toml", "copyright", "NOTICE")
    return bool(known) or name.endswith(".license")


def _read(place: Path, letters: int) -> str:
    """The beginning of a file as text, whatever its encoding: what is sought in it is ASCII or Hangul."""
    try:
        with place.open("rb") as file:
            body = file.read(letters * 2)
    except OSError:
        return ""
    for encoding in ("utf-8-sig", "cp949"):
        try:
            return body.decode(encoding)[:letters]
        except UnicodeDecodeError:
            continue
    return body.decode("utf-8", "replace")[:letters]


def _expression(text: str) -> str | None:
    return _all_of(licences(text))


def _all_of(names: Iterable[str | None]) -> str | None:
    """All these licences together, or None where one of them is unknown, or there is none."""
    listed = list(dict.fromkeys(names))
    known = [f"({one})" if " OR " in one and len(listed) > 1 else one for one in listed if one is not None]
    return " AND ".join(known) if known and len(known) == len(listed) else None


def _map(place: Path) -> Copyright | None:
    """REUSE.toml or a DEP-5 file as patterns and licences; None where there is none."""
    if not place.is_file():
        return None
    text = _read(place, 2_000_000)
    if place.suffix != ".toml":
        return dep5(text) if is_dep5(text) else None
    try:
        said = tomllib.loads(text).get("annotations", [])
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    files = []
    for one in said if isinstance(said, list) else []:
        paths, licence = one.get("path"), one.get("SPDX-License-Identifier")
        listed = [paths] if isinstance(paths, str) else paths
        if isinstance(listed, list) and isinstance(licence, str):
            files.append((tuple(str(p).replace("**", "*") for p in listed), expression(licence)))
    return Copyright(tuple(files))


def _readme(text: str) -> str | None:
    """What a README says of the licence: its front matter (`license:`), its section, or a sentence."""
    front = re.match(r"\A\s*---\r?\n(.*?)\r?\n---", text[:20_000], re.DOTALL)
    if front is not None:
        m = re.search(r"(?im)^license:[ \t]*(.*)((?:\r?\n[ \t]*-[ \t]*.+)*)", front[1])
        if m is not None:
            listed = [m[1], *re.findall(r"-[ \t]*(.+)", m[2])] if m[2] else m[1].strip(" []").split(",")
            named = [expression(one.strip(" '\"\r")) for one in listed if one.strip()]
            return _all_of(named) or UNKNOWN
    for m in _SECTION.finditer(text):
        if (said := _expression(m[0]) or _named(m[1])) is not None:
            return said
    return _expression("\n".join(m[0] for m in _STATED.finditer(text)))


def _named(section: str) -> str | None:
    """A section that is a name and nothing else: "MIT", "CC BY 4.0."."""
    line = next((one.strip(" .*_`>") for one in section.splitlines() if one.strip()), "")
    return expression(line) if len(line) < 80 else None


def _metadata(text: str) -> str | None:
    """The licences that a description of data names: a string, objects with a name or a path, or a list."""
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    given = said.get("licenses", said.get("license", said.get("sc:license")))
    names = []
    for one in given if isinstance(given, list) else [given]:
        name = (one.get("name") or one.get("path")) if isinstance(one, dict) else one
        if isinstance(name, str) and name.strip():
            names.append(name)
    known = [licence_of_url(name) if "://" in name else expression(name) for name in names]
    return _all_of(known) or (UNKNOWN if names else None)
