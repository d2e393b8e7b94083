"""Addresses on the net: e-mail, IPv4, IPv6."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from bapsim.text.pii_signs import END, Form, cue, cued, in_word

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?[0-9])(?![A-Za-z_])")
_VERSION = re.compile(r"(?:[a-z_]-?|\b(?:v|ver|version|release)[.: ]{0,2}|버전 ?)\Z", re.IGNORECASE)
_IP_CUE = cue(r"(?<![a-z])ip|서버|주소|접속|server|host|addr|dns|ping")


def _ipv4(whole: str, m: re.Match[str]) -> bool:
    """Four octets that are no version; four single digits, maybe a list, need a cue, a port or a prefix."""
    if _VERSION.search(whole[max(m.start() - 12, 0) : m.start()].rpartition(END)[2]):
        return False
    if m[0] in {"127.0.0.1", "255.255.255.255"}:
        return False  # nobody's
    behind = whole[m.end() : m.end() + 2]
    addressed = behind[:1] in {":", "/"} and behind[1:].isdigit()
    return len(m[0]) > 7 or addressed or cued(whole, m.start(), _IP_CUE)


_LABEL = re.compile(":(?!:)|:(?=::)|[.]")
_COLONS = re.compile(":[0-9A-Fa-f]{0,4}:")
_HEX = "0123456789abcdefABCDEF:."


def ipv6(whole: str) -> Iterator[tuple[int, int]]:
    """What `ipaddress` reads, with two groups, one of them of three signs: a[1::2] and ab::cd are code."""
    m = _COLONS.search(whole)
    while m is not None:
        before, after = whole[max(m.start() - 45, 0) : m.start()], whole[m.end() : m.end() + 45]
        start = m.start() - len(before) + len(before.rstrip(_HEX))
        end = m.end() + len(after) - len(after.lstrip(_HEX))
        while start < end and (_LABEL.match(whole, start) or in_word(whole[start - 1 : start])):
            start += 1 if _LABEL.match(whole, start) else 1 + max(whole[start:end].find(":"), 0)
        said = whole[start:end].rstrip(".")
        said = said if said.endswith("::") else said.rstrip(":")
        if _is_ipv6(said) and not in_word(whole[start + len(said) : start + len(said) + 1]):
            yield start, start + len(said)
        m = _COLONS.search(whole, max(end, m.end()))


def _is_ipv6(said: str) -> bool:
    groups = [group for group in said.split(":") if group]
    if len(groups) < 4 and not any(c.isdigit() for c in said):
        return False
    if len(groups) < 2 or max(map(len, groups)) < 3:
        return False
    try:
        ipaddress.IPv6Address(said)
    except ValueError:
        return False
    return True


_AT = (re.compile("@"), re.compile("골뱅이"), re.compile(r"[(\[{] ?(?:[aA][tT]|골뱅이) ?[)\]}]"))
_LOCAL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-" + "".join(
    chr(code) for code in (*range(0xC0, 0x250), *range(0x300, 0x370)) if code not in {0xD7, 0xF7}
)
_DOMAIN = re.compile(
    "(?:[A-Za-z0-9-]{1,63}+\\.){1,8}(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24})(?![A-Za-z0-9])"
    "|[A-Za-z0-9가-힣-]{1,63}\\.한국"
)
_WELL_KNOWN = re.compile(r".*\.(?:com|net|org|edu|gov|kr|jp|cn|us|uk|de|fr|io)", re.IGNORECASE)
_NO_DOMAIN = re.compile(r".*\.(?:png|jpe?g|gif|svg|webp|css|js|html?|service|socket|timer)", re.IGNORECASE)


def emails(whole: str) -> Iterator[tuple[int, int]]:
    """LOCAL@DOMAIN; "(at)", 골뱅이 and blanks round the sign where the domain ends as most do."""
    end = 0
    for at in sorted((m for sign in _AT for m in sign.finditer(whole)), key=re.Match.start):
        before = whole[max(at.start() - 65, end) : at.start()]
        name = before[:-1] if before[-1:] == " " else before
        local = name[len(name.rstrip(_LOCAL)) :].lstrip(".-%+")
        if not local or local[-1] == "." or len(local) > 64:
            continue
        blank = whole[at.end() : at.end() + 1] == " "
        domain = _DOMAIN.match(whole, at.end() + blank)
        if domain is None or _NO_DOMAIN.fullmatch(domain[0]):
            continue
        if (at[0] == "@" and name == before and not blank) or _WELL_KNOWN.fullmatch(domain[0]):
            end = domain.end()
            yield at.start() - (len(before) - len(name)) - len(local), end


FORMS = (Form("ip", 4, _IPV4, _ipv4),)
