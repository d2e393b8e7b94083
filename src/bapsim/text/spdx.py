"""Names of licences in one spelling: SPDX expressions out of what people, Debian and data hubs write.

A name that nobody knows stays a name: it is never taken for a licence that it resembles. Expressions are
parsed by license-expression; spellings, aliases and what each licence permits are data (licences.json).
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bapsim.core.errors import Damaged

PUBLIC_DOMAIN = "LicenseRef-public-domain"
TABLE = Path(__file__).with_name("licences.json")
# As code, so that another table is another identity of every recipe that reads it.
TABLE_HASH = "16ff87cbdc88c213"
_GNU = re.compile(r"(agpl|lgpl|gpl|gfdl)(-niv)?(?:-(\d(?:\.\d+)*))?(.*)")
_LATER = re.compile(
    r"-?\+|-(?:or|and)-(?:any-|at-your-option-any-)?(?:later|newer|above|higher|greater)(?:-version)?"
)
_FIRST = {"gpl": "1.0", "lgpl": "2.0", "agpl": "1.0", "gfdl": "1.1"}
_BSD = re.compile(r"bsd-([1234])(?:-clause)?(?:-.*)?")
_OPERATOR = re.compile(
    r"(\(|\)|(?:(?<=\s)|(?<=\)))(?:and|or|with)(?=[\s(])"
    r"(?! +(?:any +)?(?:later|newer|above|higher|greater)\b))",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Za-z0-9][\w.+:~-]*", re.ASCII)
_LONGEST = 2000  # letters of an expression: what is longer is a text, not a name


@cache
def table() -> Any:
    """Spellings, aliases, and what families of licences permit."""
    return read_table(TABLE, TABLE_HASH)


def read_table(path: Path, digest: str) -> Any:
    """A table of ours; raises Damaged where its SHA-256 does not begin as the code says."""
    body = path.read_bytes()
    if hashlib.sha256(body).hexdigest()[:16] != digest:
        raise Damaged("text_table_differs", path=str(path))
    return json.loads(body)


@cache
def _known() -> dict[str, str]:
    """SPDX identifiers, by any name of theirs in small letters."""
    from license_expression import get_license_index

    found: dict[str, str] = {}
    for one in get_license_index():
        name = str(one.get("spdx_license_key") or "")
        if name and not name.startswith("LicenseRef"):
            for other in (one["license_key"], *one.get("other_spdx_license_keys", ())):
                found.setdefault(_plain(str(other)), name)
            found[name.lower()] = name
    aliases: dict[str, str] = table()["aliases"]
    return found | aliases


@cache
def _spellings() -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), to) for pattern, to in table()["spellings"]]


def _plain(name: str) -> str:
    """A name in small letters, its words parted by hyphens, in the spelling that the index is read in."""
    said = re.sub(r"[\s_/,;'\"“”‘’`]+", "-", name.strip().lower())
    for pattern, to in _spellings():
        said = pattern.sub(to, said)
    return said


@lru_cache(1 << 14)
def licence_id(name: str) -> str | None:
    """One licence by its SPDX identifier ("Expat" is MIT, "GPL-2+" GPL-2.0-or-later), or None.

    LicenseRef-... are identifiers of whoever wrote them. An alias may be an expression: "Perl" is a choice.
    """
    if len(name) > _LONGEST or not name.strip():
        return None
    exact = name.strip().lower()
    if exact.startswith("licenseref-"):
        return name.strip() if _TOKEN.fullmatch(name.strip()) else None
    known = _known()
    if exact in known and not _GNU.match(exact):
        return known[exact]
    plain = _plain(name)
    if _OPERATOR.search(f"{name} ") is not None:  # several, unless together they are one name
        return known.get(plain)
    if (gnu := _GNU.fullmatch(plain)) is not None:
        return _gnu(gnu)
    if plain.startswith("public-domain"):
        return PUBLIC_DOMAIN
    for one in (plain, f"{plain}.0", plain.removesuffix(".0")):
        if one in known:
            return known[one]
    bsd = _BSD.fullmatch(plain)
    return f"BSD-{bsd[1]}-Clause" if bsd is not None else None


def _gnu(said: re.Match[str]) -> str | None:
    """GPL, LGPL, AGPL, GFDL with their versions; none said is any, as those licences say themselves."""
    kind, version, rest = said[1], said[3], said[4]
    without = said[2] is not None or "no-invariant" in rest
    rest = re.sub(r"-?no-invariants?|-invariants|-only", "", rest)
    later = version is None or _LATER.match(rest) is not None
    rest = _LATER.sub("", rest, count=1)
    extra = re.fullmatch(r"-(?:with-)?(.+-exception)", rest)
    if rest.strip("-") and extra is None:
        return None
    version = _FIRST[kind] if version is None else version if "." in version else f"{version}.0"
    middle = "-no-invariants" if without else "-invariants" if "-invariants" in said[4] else ""
    name = f"{kind}-{version}{middle}-{'or-later' if later else 'only'}"
    known = _known().get(name)
    return known if extra is None or known is None else f"{known} WITH {_exception(extra[1])}"


@lru_cache(1 << 14)
def expression(said: str) -> str | None:
    """Rights as one SPDX expression, or None where they are no expression: unknown, or words.

    What stands behind a semicolon is a remark. Debian's forms are read as well: "GPL-2+ or Artistic, and
    Expat", "GPL-2+ with OpenSSL exception". A name in one word that nobody knows stays: a house may have it.
    """
    spelt = _spelt(said.split(";", 1)[0]) if len(said) <= _LONGEST else None
    if spelt is None:
        return None
    from license_expression import ExpressionError, Licensing

    try:
        parsed = Licensing().parse(spelt)
    except ExpressionError:
        return None
    return None if parsed is None else str(parsed.render())


def _spelt(said: str) -> str | None:
    said = " ".join(said.split())
    whole = licence_id(said)
    if whole is not None or not said:
        return whole
    if "(" not in said and re.search(r",\s*(?:and|or)\s", said, re.IGNORECASE):  # a comma binds least
        parts = re.split(r",\s*(and|or)\s", said, flags=re.IGNORECASE)
        inner = [_spelt(part) for part in parts[::2]]
        joined = [f"({one})" for one in inner if one is not None]
        return None if None in inner else " ".join(_woven(joined, [op.upper() for op in parts[1::2]]))
    found, before = [], ""
    for part in filter(None, (p.strip(" ,") for p in _OPERATOR.split(f"{said} "))):
        if part in "()" or part.lower() in ("and", "or", "with"):
            found.append(part.upper())
        elif (name := _exception(part) if before == "with" else _name(part)) is not None:
            found.append(name)
        else:
            return None
        before = part.lower()
    return " ".join(found)


def _woven(parts: list[str], operators: list[str]) -> list[str]:
    return [word for pair in zip(["", *operators], parts, strict=True) for word in pair if word]


def _name(said: str) -> str | None:
    """A licence, a choice of them ("PD-or-CC0-1.0", "MIT/Apache-2.0"), or a word that may be the house's."""
    found = licence_id(said)
    if found is not None:
        return f"({found})" if " " in found else found
    for mark in (r"-or-(?!later)", "/"):
        parts = [licence_id(part) for part in re.split(mark, said)]
        if len(parts) > 1 and None not in parts:
            return f"({' OR '.join(map(str, parts))})"
    return said if _TOKEN.fullmatch(said) else None


def _exception(said: str) -> str | None:
    """What is added to a licence: such words permit more, so a name that nobody knows does no harm."""
    plain = _plain(said)
    return _known().get(plain) or f"LicenseRef-{re.sub('[^a-z0-9.]+', '-', plain).strip('-') or 'exception'}"
