"""What people write: whole characters, of a limited length, and redacted before anything durable has it."""

from __future__ import annotations

from bapsim.serve.refused import bad
from bapsim.text.pii import redact

STRANGE = frozenset(range(32)) - {9, 10} | {127}  # control characters, which are no text


def clean(said: object, where: str, most: int, *, empty: bool = False) -> str:
    """A text as it may be used; raises Refused where it is none, is blank, too long, or steers a device."""
    if not isinstance(said, str):
        raise bad("value_kind", where, wanted="text", found="null" if said is None else "object")
    plain = said.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not plain and not empty:
        raise bad("text_blank", where)
    if len(plain) > most:
        raise bad("text_too_long", where, size=f"{len(plain):,}", most=f"{most:,}")
    for at, letter in enumerate(plain):
        if ord(letter) in STRANGE:
            raise bad("strange_character", where, at=at, code=f"U+{ord(letter):04X}")
        if 0xD800 <= ord(letter) < 0xE000:
            raise bad("half_character", where, at=at)
    return plain


def redacted(said: str) -> tuple[str, int]:
    """The text without personal data, names and addresses too, and how much was taken out: the one door to
    anything durable.
    """
    return redact(said)
