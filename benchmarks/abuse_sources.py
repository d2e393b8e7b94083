"""Malformed workbooks, service logs and files of votes; abuse.py runs them."""

from __future__ import annotations

import io
import json
import random
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import openpyxl

from abuse_cases import (
    MUTATIONS,
    PACKS,
    Case,
    as_csv,
    as_it_is,
    bomb,
    cut,
    ends_in_cr,
    flipped,
    gzipped,
    inserted,
    noise,
    put,
    table,
    torn,
    unpacked,
)
from bapsim.core.recipe import Source
from bapsim.gather.service import OPENAI, service
from bapsim.gather.votes import votes

SHEET, TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
LINKS = "xl/_rels/workbook.xml.rels"
FIELDS = {
    "input": "q",
    "prediction": "p",
    "request": "id",
    "correction": "fixed",
    "at": "at",
    "thumbs": "thumb",
}
MANY = 60 << 20  # bytes of one part: just within what a small file may grow to
HOSTILE = (
    "<v>x</v>",
    "<v>1e999</v>",
    "<v>-</v>",
    "<v>99999999999999999999</v>",
    "<f>1+1</f>",
    "<f>1+1</f><v/>",
    "<is><t>&#x202e;=1+1</t></is>",
    "<is><t>_x0000_</t></is>",
    "<is><t>_xD800_</t></is>",
    "<v><![CDATA[<row r='1'>]]></v>",
    "<v>1</v><v>2</v>",
    "<c r='Z9'><v>1</v></c>",
)
ABOUT = (
    't="s"',
    't="n"',
    't="b"',
    't="e"',
    't="d"',
    't="str"',
    't="inlineStr"',
    't="wat"',
    's="99999"',
    's="-1"',
    's="x"',
    'r="A0"',
)


# ---------------------------------------------------------------- workbooks


def as_workbook(rows: list[dict[str, str]]) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(["'" + cell if cell[:1] in "=+-@" else cell for cell in row.values()])
    out = io.BytesIO()
    book.save(out)
    return packed(shared(parts_of(out.getvalue())))


def shared(parts: dict[str, bytes]) -> dict[str, bytes]:
    """The same workbook with its texts in a table, as spreadsheet programs have them."""
    texts: list[bytes] = []

    def moved(found: re.Match[bytes]) -> bytes:
        texts.append(found[2])
        return b'<c %s t="s"><v>%d</v></c>' % (found[1], len(texts) - 1)

    sheet = re.sub(
        rb'<c (r="[A-Z0-9]+") t="inlineStr"><is>(.*?)</is></c>', moved, parts[SHEET], flags=re.DOTALL
    )
    kind = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    link = b'<Relationship Id="texts" Type="%s" Target="/xl/sharedStrings.xml"/></Relationships>' % kind
    links = parts[LINKS].replace(b"</Relationships>", link)
    table = b"<sst>" + b"".join(b"<si>%s</si>" % said for said in texts) + b"</sst>"
    return parts | {SHEET: sheet, TEXTS: table, LINKS: links}


@cache
def tiny() -> bytes:
    return as_workbook([{"id": "1", "text": "x", "label": "a"}])


def parts_of(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, said in parts.items():
            archive.writestr(name, said)
    return out.getvalue()


def workbook_mutants(count: int, seed: int = 2) -> Iterator[Case]:
    """Archives with their bytes changed, parts with theirs changed, and cells that no program would write."""
    for i in range(count):
        rng = random.Random(seed * 1_000_003 + i)
        rows = table(rng, rng.randint(1, 60))
        body, kind = as_workbook(rows), rng.choice(["bytes", "part", "cells"])
        if kind == "bytes":
            yield Case(
                "workbook bytes",
                f"w{i}.xlsx",
                put(rng.choice([flipped, cut, torn, inserted, noise])(body, rng)),
            )
            continue
        parts = parts_of(body)
        if kind == "part":
            wanted = [
                SHEET,
                TEXTS,
                "xl/workbook.xml",
                "xl/styles.xml",
                LINKS,
                "_rels/.rels",
            ]
            name = rng.choice([SHEET, *wanted])
            parts[name] = rng.choice([flipped, cut, torn, inserted, noise])(parts[name], rng)
            yield Case("workbook part", f"w{i}.xlsx", put(packed(parts)))
        else:
            parts[SHEET] = hostile_cells(parts[SHEET].decode(), rng).encode()
            yield Case("workbook cells", f"w{i}.xlsx", put(packed(parts)), as_many(len(rows)))


def as_many(count: int) -> Callable[[Path], int]:
    return lambda path: count


def hostile_cells(sheet: str, rng: random.Random) -> str:
    """Some cells below the header with other contents or attributes; the first of each row stays, so that no
    row is blank."""
    cells = list(re.finditer(r'<c r="[B-Z]([0-9]+)"[^>]*?(?:/>|>.*?</c>)', sheet))
    below = [cell for cell in cells if cell[1] != "1"]
    for cell in sorted(rng.sample(below, min(len(below), rng.randint(1, 5))), key=lambda c: -c.start()):
        at = re.match(r'<c (r="[A-Z]+[0-9]+")', cell[0])[1]
        about = rng.choice([at, f"{at} {rng.choice(ABOUT[:-1])}", rng.choice(ABOUT)])
        sheet = sheet[: cell.start()] + f"<c {about}>{rng.choice(HOSTILE)}</c>" + sheet[cell.end() :]
    return sheet


def with_part(name: str, said: bytes, mark: bytes = b"") -> Callable[[Path], None]:
    """A tiny workbook with a part of its own, in which a mark is repeated up to MANY bytes."""

    def make(path: Path) -> None:
        whole = said.replace(mark, mark * (MANY // len(mark))) if mark else said
        path.write_bytes(packed(parts_of(tiny()) | {name: whole}))

    return make


def sheet_of(rows: bytes, after: bytes = b"") -> bytes:
    main = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    head = b'<row r="1"><c t="inlineStr"><is><t>text</t></is></c></row>'
    return b'<worksheet xmlns="%s"><sheetData>%s%s</sheetData>%s</worksheet>' % (main, head, rows, after)


def one_text_often(path: Path) -> None:
    """A megabyte of text that a thousand rows refer to."""
    rows = b"".join(b'<row><c t="s"><v>0</v></c></row>' for _ in range(1000))
    text = b"<sst><si><t>" + b"x" * (1 << 20) + b"</t></si></sst>"
    path.write_bytes(packed(parts_of(tiny()) | {SHEET: sheet_of(rows), TEXTS: text}))


def many_sheets(path: Path) -> None:
    parts = parts_of(tiny())
    one = re.search(rb"<sheet [^>]*/>", parts["xl/workbook.xml"])[0]
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(one, one * 20_000)
    parts[SHEET] = sheet_of(b"")
    path.write_bytes(packed(parts))


def twice_in_the_archive(path: Path) -> None:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # that a name is there twice is the point
        for name, said in [*parts_of(tiny()).items(), (SHEET, sheet_of(b"<row><c><v>7</v></c></row>"))]:
            archive.writestr(name, said)
    path.write_bytes(out.getvalue())


def flagged(path: Path) -> None:
    """Every member says that it is encrypted."""
    body = bytearray(tiny())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        for found in re.finditer(re.escape(mark), bytes(body)):
            body[found.start() + place] |= 1
    path.write_bytes(bytes(body))


def lying_sizes(path: Path) -> None:
    """The directory says that a sheet of a megabyte has ten bytes."""
    parts = parts_of(tiny()) | {SHEET: sheet_of(b"<row><c><v>1</v></c></row>" * 40_000)}
    body = bytearray(packed(parts))
    for found in re.finditer(rb"PK\x01\x02", bytes(body)):
        if body[found.start() + 46 :].startswith(SHEET.encode()):
            body[found.start() + 24 : found.start() + 28] = (10).to_bytes(4, "little")
    path.write_bytes(bytes(body))


def sources_by_hand() -> Iterator[Case]:
    yield from workbooks_by_hand()
    yield from logs_by_hand()


def workbooks_by_hand() -> Iterator[Case]:
    laughs = b"<!DOCTYPE x [<!ENTITY a 'ha'>" + b"".join(
        b"<!ENTITY %c '%s'>" % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(20)
    )
    outside = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + sheet_of(
        b"<row><c><v>&e;</v></c></row>"
    )
    yield Case("workbook bomb", "zeros.xlsx", bomb_of(SHEET, bytes(1 << 20), 512))
    yield Case("workbook bomb", "cells.xlsx", with_part(SHEET, sheet_of(b"<row><c/></row>"), b"<c/>"))
    yield Case("workbook bomb", "rows.xlsx", with_part(SHEET, sheet_of(b"<row/>"), b"<row/>"))
    yield Case("workbook bomb", "deep.xlsx", with_part(SHEET, sheet_of(b"<a>"), b"<a>"))
    yield Case("workbook bomb", "note.xlsx", with_part(SHEET, sheet_of(b"<!--~-->"), b"~"))
    yield Case("workbook bomb", "mark.xlsx", with_part(SHEET, sheet_of(b"<c Q=''/>"), b"Q"))
    yield Case(
        "workbook bomb", "long.xlsx", with_part(SHEET, sheet_of(b"<row><c t='str'><v>!</v></c></row>"), b"!")
    )
    merged = sheet_of(b"", b"<mergeCells>" + b"<mergeCell ref='A1:A9'/>" + b"</mergeCells>")
    yield Case("workbook bomb", "merged.xlsx", with_part(SHEET, merged, b"<mergeCell ref='A1:A9'/>"))
    yield Case("workbook bomb", "texts.xlsx", with_part(TEXTS, b"<sst><si/></sst>", b"<si/>"))
    yield Case("workbook bomb", "often.xlsx", one_text_often)
    styles = b"<styleSheet><cellXfs><xf/></cellXfs></styleSheet>"
    yield Case("workbook bomb", "styles.xlsx", with_part("xl/styles.xml", styles, b"<xf/>"))
    links = b"<Relationships><Relationship/></Relationships>"
    yield Case("workbook bomb", "links.xlsx", with_part("_rels/.rels", links, b"<Relationship/>"))
    yield Case("workbook bomb", "sheets.xlsx", many_sheets)
    yield Case("workbook bomb", "laughs.xlsx", with_part(SHEET, laughs + b"]>" + sheet_of(b"&u;")))
    yield Case("workbook", "outside.xlsx", with_part(SHEET, outside))
    yield Case("workbook", "gap.xlsx", with_part(SHEET, sheet_of(b"<row r='1048576'><c><v>1</v></c></row>")))
    yield Case(
        "workbook", "beyond.xlsx", with_part(SHEET, sheet_of(b"<row r='2000000000'><c><v>1</v></c></row>"))
    )
    yield Case("workbook", "twice.xlsx", twice_in_the_archive)
    yield Case("workbook", "flagged.xlsx", flagged)
    yield Case("workbook", "lying.xlsx", lying_sizes)
    yield Case("workbook", "packed.xlsx.gz", put(PACKS[".gz"](tiny())))
    for name, body in {
        "empty": b"",
        "html": b"<html><table><tr><td>text</td></tr></table>",
        "csv": b"text,label\nx,a\n",
        "old": b"\xd0\xcf\x11\xe0" + bytes(4000),
        "locked": b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"),
        "magic": b"PK\x03\x04",
        "directory": b"PK\x05\x06" + bytes(18),
    }.items():
        yield Case("workbook", f"{name}.xlsx", put(body))


def bomb_of(name: str, block: bytes, times: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for other, said in parts_of(tiny()).items():
                archive.writestr(other, said) if other != name else None
            with archive.open(name, "w") as part:
                for _ in range(times):
                    part.write(block)

    return make


# ---------------------------------------------------------------- logs and votes


def plain_log(name: str) -> Source:
    return service(name, rights="own", fields=FIELDS)


def paired_log(name: str) -> Source:
    return service(name, rights="own", fields=OPENAI | {"correction": "correction"}, messages="all")


def long_votes(name: str) -> Source:
    return votes(name, vote="vote", rater="who", item="id")


def log_lines(rng: random.Random, rows: int) -> Iterator[dict]:
    """Requests, copies of them, and feedback in lines of its own."""
    for i, row in enumerate(table(rng, rows)):
        about = {
            "id": f"r{rng.choice([i, i, i // 2])}",
            "at": rng.choice([1_700_000_000 + i, "2026-03-01T09:30:00Z"]),
        }
        more = rng.choice([{}, {}, {"fixed": row["label"]}, {"thumb": rng.choice([1, "down", None])}])
        yield about | more if rng.random() < 0.2 else {**about, "q": row["text"], "p": row["label"], **more}


def pairs(rng: random.Random, rows: int) -> Iterator[dict]:
    for i, row in enumerate(table(rng, rows)):
        messages = [{"role": "user", "content": row["text"]}]
        answer = {"index": 0, "message": {"role": "assistant", "content": row["label"]}}
        yield {
            "timestamp": 1_700_000_000 + i,
            "client_id": "x",
            "request": {"messages": messages},
            "response": {"id": f"chatcmpl-{i}", "choices": [answer]},
        }


def lines_of_log(path: Path) -> int | None:
    """Lines that are not blank, where LF ends them."""
    body = unpacked(path.read_bytes())
    if body is None or body.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or ends_in_cr(body):
        return None
    decoded = (
        line.decode("utf-8", "surrogateescape") for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    )
    return sum(bool(line) and not line.isspace() for line in decoded)


def log_mutants(count: int, seed: int = 3) -> Iterator[Case]:
    """Logs with their bytes changed, before or after packing, half a line at their ends."""
    for i in range(count):
        rng = random.Random(seed * 1_000_003 + i)
        made, source = rng.choice([(log_lines, plain_log), (pairs, paired_log)])
        lines = made(rng, rng.randint(1, 80))
        body = "\n".join(json.dumps(line, ensure_ascii=rng.random() < 0.5) for line in lines).encode()
        pack, mutation = rng.choice(["", "", ".gz", ".zst"]), rng.choice(MUTATIONS)
        after = pack and mutation in (flipped, cut, torn, noise) and rng.random() < 0.6
        body = mutation(PACKS[pack](body), rng) if after else PACKS[pack](mutation(body, rng))
        yield Case("log", f"l{i}.jsonl{pack}", put(body), lines_of_log, source)


def vote_mutants(count: int, seed: int = 4) -> Iterator[Case]:
    for i in range(count):
        rng = random.Random(seed * 1_000_003 + i)
        rows = [
            {
                "id": str(rng.randint(0, 9)),
                "text": "밥",
                "who": rng.choice("kl"),
                "vote": rng.choice(["a", "b", "", '["a"]']),
            }
            for _ in range(rng.randint(1, 60))
        ]
        body = rng.choice(MUTATIONS)(as_csv(rows, rng), rng)
        yield Case("votes", f"v{i}.csv", put(body), source=long_votes)


def logs_by_hand() -> Iterator[Case]:
    def again(path: Path) -> None:
        """One request id, two hundred thousand times, each time with something else."""
        with path.open("w") as out:
            out.writelines(json.dumps({"id": "r", "q": "x", "p": str(i)}) + "\n" for i in range(200_000))

    def consents(path: Path) -> None:
        with path.open("w") as out:
            out.writelines(
                json.dumps({"id": f"r{i}", "q": "x", "who": f"c{i}"}) + "\n" for i in range(20_000)
            )

    def with_consent(name: str) -> Source:
        return service(name, rights="own", fields=FIELDS | {"consent": "who"})

    deep = b'{"id": 1, "q": ' + b"[" * 100_000 + b"\n"
    yield Case("log by hand", "again.jsonl", again, lines_of_log, plain_log)
    yield Case("log by hand", "consents.jsonl", consents, lines_of_log, with_consent)
    yield Case("log by hand", "deep.jsonl", put(deep), lines_of_log, plain_log)
    yield Case(
        "log by hand", "long.jsonl", bomb(60 << 20, as_it_is, b'{"q": "' + b"x" * (1 << 20)), source=plain_log
    )
    yield Case(
        "log by hand",
        "bomb.jsonl.gz",
        bomb(512 << 20, gzipped, b'{"id": 1, "q": "x"}\n' * 50_000),
        source=plain_log,
    )
    yield Case("log by hand", "workbook.jsonl", put(tiny()), source=plain_log)
    yield Case("log by hand", "folder", Path.mkdir, source=plain_log)
    yield Case("log by hand", "../outside.csv", lambda path: None, source=plain_log)
