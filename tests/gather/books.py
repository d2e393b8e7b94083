"""Workbooks made by hand, part by part, as no spreadsheet program would write them."""

import io
import zipfile
from pathlib import Path

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def parts(
    rows: str, *, after: str = "", strings: list[str] | None = None, styles: str = ""
) -> dict[str, str]:
    """The parts of a workbook with one sheet; rows, after and styles are XML."""
    texts = "".join(f"<si><t>{said}</t></si>" for said in strings or [])
    return {
        "_rels/.rels": _rels("", ("rId1", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="one" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _rels(
            "xl",
            ("rId1", "worksheet", "worksheets/sheet1.xml"),
            ("rId2", "sharedStrings", "/xl/sharedStrings.xml"),
            ("rId3", "styles", "styles.xml"),
        ),
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{texts}</sst>',
        "xl/styles.xml": f'<styleSheet xmlns="{MAIN}">{styles}</styleSheet>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData>{after}'
        "</worksheet>",
    }


def _rels(folder: str, *links: tuple[str, str, str]) -> str:
    said = "".join(f'<Relationship Id="{i}" Type="{OFFICE}/{kind}" Target="{to}"/>' for i, kind, to in links)
    return f'<Relationships xmlns="{PACKAGE}">{said}</Relationships>'


def packed(made: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", method) as archive:
        for name, said in made.items():
            archive.writestr(name, said)
    return body.getvalue()


def book(path: Path, rows: str, **options) -> Path:
    path.write_bytes(packed(parts(rows, **options)))
    return path


def row(number: int | None, *cells: str) -> str:
    """A row of cells, each XML, or text for an inline one."""
    at = "" if number is None else f' r="{number}"'
    said = (c if c.startswith("<c") else f'<c t="inlineStr"><is><t>{c}</t></is></c>' for c in cells)
    return f"<row{at}>{''.join(said)}</row>"
