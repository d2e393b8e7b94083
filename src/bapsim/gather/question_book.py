"""Questions as a workbook: text cells, so that nothing runs or turns into a date, and labels to choose from.

The same questions give the same bytes: openpyxl's files carry the time of writing, these do not.
"""

from __future__ import annotations

import datetime
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from bapsim.gather.workbook import ROWS

TEXT = "@"  # the number format under which a spreadsheet leaves what is typed as it is
LONGEST = 32_767  # characters that a cell may have, and labels that a list to choose from may have
WIDEST, NARROWEST = 60, 10  # characters of a column on the screen
LABELS = "labels"
NOTHING: Mapping[str, str] = MappingProxyType({})
_STILL = (1980, 1, 1, 0, 0, 0)
_SPECIAL = re.compile("_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ufffe\uffff]")


def question_book(
    names: Sequence[str],
    columns: Sequence[Sequence[str | None]],
    answer: str,
    labels: Sequence[str],
    guideline: Mapping[str, str] = NOTHING,
) -> bytes:
    """A workbook of these columns, and a list of `labels` to choose from in each cell of the column `answer`.

    The labels stand in a second sheet, with what people are told of them; another text may be typed all the
    same.
    """
    from openpyxl import Workbook  # type: ignore[import-untyped]
    from openpyxl.styles import Alignment, Font  # type: ignore[import-untyped]
    from openpyxl.utils import get_column_letter  # type: ignore[import-untyped]

    book = Workbook()
    sheet = book.active
    sheet.title = "questions"
    letters = [get_column_letter(i) for i in range(1, len(names) + 1)]
    for letter, name, column in zip(letters, names, columns, strict=True):
        _put(sheet[f"{letter}1"], name)
        sheet[f"{letter}1"].font = Font(bold=True)
        for row, said in enumerate(column, 2):
            _put(sheet[f"{letter}{row}"], said)
            sheet[f"{letter}{row}"].alignment = Alignment(wrap_text=True, vertical="top")
        sheet.column_dimensions[letter].width = _width([name, *column[:200]])
    sheet.freeze_panes = "A2"
    if 0 < len(labels) <= LONGEST and columns and len(columns[0]):
        _offer(book, sheet, letters[list(names).index(answer)], len(columns[0]), labels, guideline)
    return _bytes(book)


def _put(cell: Any, said: str | None) -> None:
    """Text as text: a spreadsheet would take =1+1 for a formula and 3-1 for a day of March."""
    cell.number_format = TEXT
    if said:
        cell.value = escaped(said)
        cell.data_type = "s"


def escaped(said: str) -> str:
    """Text with the characters that XML cannot hold as _xHHHH_, as a workbook writes them, and cut to what a
    cell can hold."""
    said = _SPECIAL.sub(lambda one: f"_x{ord(one[0]):04X}_", said)
    return said if len(said) <= LONGEST else said[: LONGEST - 1] + "…"


def _width(column: Sequence[str | None]) -> float:
    """Characters on the screen of the longest line; Hangul takes two."""
    lines = [line[: WIDEST + 1] for said in column if said for line in said[:1000].split("\n")]
    widths = (len(line) + sum(unicodedata.east_asian_width(c) in "WF" for c in line) for line in lines)
    return float(min(max(max(widths, default=0) + 2, NARROWEST), WIDEST))


def _offer(
    book: Any, sheet: Any, letter: str, rows: int, labels: Sequence[str], guideline: Mapping[str, str]
) -> None:
    """A list to choose from; the labels lie in cells, for a list that is written out holds 255 characters."""
    from openpyxl.styles import PatternFill
    from openpyxl.worksheet.datavalidation import DataValidation  # type: ignore[import-untyped]

    known = book.create_sheet(LABELS)
    for row, label in enumerate(labels, 1):
        _put(known[f"A{row}"], label)
        _put(known[f"B{row}"], guideline.get(label))
    known.column_dimensions["B"].width = _width(list(guideline.values()))
    known.column_dimensions["A"].width = _width(labels)
    choice = DataValidation("list", formula1=f"{LABELS}!$A$1:$A${len(labels)}", showErrorMessage=False)
    choice.add(f"{letter}2:{letter}{min(rows + 1, ROWS)}")
    sheet.add_data_validation(choice)
    for row in range(2, rows + 2):
        sheet[f"{letter}{row}"].fill = PatternFill("solid", fgColor="FFF7D6")


class _Still(ZipFile):
    """An archive in which no file has a time."""

    def writestr(
        self,
        zinfo_or_arcname: str | ZipInfo,
        data: Any,
        compress_type: int | None = None,
        compresslevel: int | None = None,
    ) -> None:
        info = ZipInfo(str(zinfo_or_arcname), _STILL)
        info.external_attr = 0o600 << 16
        super().writestr(info, data, compress_type or ZIP_DEFLATED, compresslevel)

    def write(self, filename: Any, arcname: Any = None, *_: Any, **__: Any) -> None:
        self.writestr(arcname, Path(filename).read_bytes())


def _bytes(book: Any) -> bytes:
    from openpyxl.writer.excel import ExcelWriter  # type: ignore[import-untyped]

    book.properties.creator = "bapsim"
    book.properties.created = book.properties.modified = datetime.datetime(*_STILL)  # noqa: DTZ001  Excel has no zones
    body = io.BytesIO()
    ExcelWriter(book, _Still(body, "w", ZIP_DEFLATED)).save()
    return body.getvalue()
