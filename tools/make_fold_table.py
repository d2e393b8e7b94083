"""Write src/bapsim/text/fold.json, the table of text.normalise.fold, from this Python's unicodedata.

Run it only to move to a newer Unicode version, and set text.normalise.TABLE_HASH to what it prints: every
stored text model names the table that it was made with.
"""

import hashlib
import json
import sys
import unicodedata as u
from collections.abc import Iterable
from pathlib import Path

BLANK, REPLACEMENT = 0x20, 0xFFFD
FILLERS = {0x1160, 0x3164, 0xFFA0}  # look blank
COMPATIBILITY_JAMO = range(0x3131, 0x318F)
CONJOINING_JAMO = range(0x1100, 0x1200)
# Default_Ignorable_Code_Point of Unicode 14 (DerivedCoreProperties.txt): not to be seen, so not a feature.
IGNORABLE = (
    "AD 34F 61C 115F 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F FE00-FE0F FEFF FFF0-FFF8 "
    "1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)


def _ranges(text: str) -> set[int]:
    out: set[int] = set()
    for part in text.split():
        first, _, last = part.partition("-")
        out |= set(range(int(first, 16), int(last or first, 16) + 1))
    return out


def _runs(points: Iterable[int]) -> list[list[int]]:
    """Sorted [first, last] runs of code points."""
    out: list[list[int]] = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def _letter_jamo() -> dict[int, int]:
    """Conjoining jamo -> the compatibility jamo of the same name, the form that keyboards type."""
    letters = {u.name(chr(c)): c for c in COMPATIBILITY_JAMO if u.name(chr(c), "")}
    out = {}
    for c in CONJOINING_JAMO:
        _, position, rest = (*u.name(chr(c)).split(" ", 2), "", "")[:3]
        if position in {"CHOSEONG", "JUNGSEONG", "JONGSEONG"} and f"HANGUL LETTER {rest}" in letters:
            out[c] = letters[f"HANGUL LETTER {rest}"]
    return out


IGNORED, LETTER_JAMO = _ranges(IGNORABLE), _letter_jamo()


def folded(c: int) -> tuple[int, ...]:
    """What one code point becomes: NFKC and case folding, with the exceptions that docs/features.md lists."""
    if 0xD800 <= c < 0xE000:
        return (REPLACEMENT,)
    if u.category(chr(c)) in {"Cc", "Zs", "Zl", "Zp"} or c in FILLERS:
        return (BLANK,)
    if c in IGNORED:
        return ()
    if c in COMPATIBILITY_JAMO or c in CONJOINING_JAMO:
        return tuple(ord(x) for x in u.normalize("NFC", chr(c)))
    text, last = u.normalize("NFKC", chr(c)), ""
    if text.startswith(" "):  # spacing accents: a blank and a mark would cut words in two
        return tuple(ord(x) for x in u.normalize("NFC", chr(c)))
    while text != last:
        text, last = u.normalize("NFKC", text.casefold()), text
    return tuple(LETTER_JAMO.get(ord(x), ord(x)) for x in text if ord(x) not in IGNORED)


def pairs(table: dict[int, tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """(folded base, folded mark) -> folded composite, of every canonical composition but Hangul's."""
    out: dict[tuple[int, int], int] = {}
    for c, becomes in table.items():
        parts = u.decomposition(chr(c)).split()
        if len(parts) != 2 or parts[0].startswith("<") or len(becomes) != 1:
            continue
        base, mark = (table[int(p, 16)] for p in parts)
        if (
            u.normalize("NFC", "".join(chr(int(p, 16)) for p in parts)) == chr(c)
            and len(base) == len(mark) == 1
        ):
            assert out.setdefault((base[0], mark[0]), becomes[0]) == becomes[0], hex(c)
    marks, bases = {b for _, b in out}, {a for a, _ in out}
    assert not marks & (bases | set(out.values())), "composing from the left would not be unique"
    assert all(c != a for (a, _), c in out.items()), "composing would take a pass for each mark"
    return out


def main(path: Path) -> None:
    table = {c: folded(c) for c in range(0x110000)}
    changed = {c: r for c, r in table.items() if r not in ((c,), (REPLACEMENT,))}  # surrogates: by rule
    word = (c for c, r in table.items() if r == (c,) and u.category(chr(c))[0] in "LMN")
    flat = [x for (a, b), c in sorted(pairs(table).items()) for x in (a, b, c)]
    out = {
        "unicode": u.unidata_version,
        "blank": _runs(c for c, r in changed.items() if r == (BLANK,)),
        "drop": _runs(c for c, r in changed.items() if r == ()),
        "one": [
            x
            for c, r in changed.items()
            if len(r) == 1 and r != (BLANK,)
            for x in (c, *r)
            if c < 0xD800 or c > 0xDFFF
        ],
        "many": [[c, *r] for c, r in changed.items() if len(r) > 1],
        "pairs": flat,
        "late": [x for item in sorted(LETTER_JAMO.items()) for x in item],
        "word": _runs(word),
    }
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in out.items())
    path.write_text("{\n" + lines + "\n}\n")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes, {len(changed)} changed, TABLE_HASH = {digest}\n")


if __name__ == "__main__":
    main(Path(__file__).parents[1] / "src/bapsim/text/fold.json")
