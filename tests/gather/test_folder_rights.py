"""Which licence stands for each file of a folder, by what lies in it, beside it and above it."""

from pathlib import Path

import pytest

from bapsim.core.turn import Turn
from bapsim.gather.files import files
from bapsim.gather.folder_rights import FolderRights, Found
from tests.wheel.world import bank

MIT = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software\n"
    "and associated documentation files. This notice shall be included in all copies."
)
DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: GPL-3+

Files: data/b*
License: CC-BY-4.0
"""
REUSE = """version = 1
[[annotations]]
path = ["data/**", "more/x.csv"]
SPDX-License-Identifier = "CC0-1.0"
[[annotations]]
path = "data/b.csv"
SPDX-License-Identifier = "ODbL-1.0"
"""


def found(root: Path, name: str, **written: str) -> Found:
    """The licence of a file among these (a double underscore is a slash, a single one a dot)."""
    for path, body in {name: "a,b\n1,2\n", **written}.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists() or path != name:
            place.write_text(body, encoding="utf-8")
    return FolderRights(root).of(root / name)


CASES: list[tuple[str, dict[str, str], str, str]] = [
    ("a.csv", {}, "unknown", ""),
    ("a.csv", {"LICENSE": MIT}, "MIT", "LICENSE"),
    ("a.csv", {"COPYING.txt": "all rights, some wrongs"}, "unknown", "COPYING.txt"),
    ("x/y/a.csv", {"LICENSE": MIT}, "MIT", "LICENSE"),
    ("x/y/a.csv", {"LICENSE": MIT, "x/LICENCE.md": "CC BY-NC 4.0"}, "CC-BY-NC-4.0", "x/LICENCE.md"),
    ("x/a.csv", {"LICENSE": MIT, "x/LICENSE": "a licence of our own"}, "unknown", "x/LICENSE"),
    (
        "a.csv",
        {"LICENSE-MIT": MIT, "LICENSE-APACHE": "Apache License, Version 2.0"},
        "Apache-2.0 AND MIT",
        "LICENSE-APACHE",
    ),
    ("a.csv", {"licenses.csv": "name\nMIT\n"}, "unknown", ""),
    ("a.csv", {"README.md": "---\nlicense: cc-by-sa-4.0\n---\n# A"}, "CC-BY-SA-4.0", "README.md"),
    ("a.csv", {"README.md": "---\nlicense:\n- mit\n- apache-2.0\n---\n"}, "MIT AND Apache-2.0", "README.md"),
    (
        "a.csv",
        {"README.md": "---\nlicense: nobody knows this\n---\n# License\nMIT\n"},
        "unknown",
        "README.md",
    ),
    ("a.csv", {"README.md": "# A\n\n## License\n\nCC BY 4.0.\n\n## Other\nGPL\n"}, "CC-BY-4.0", "README.md"),
    ("a.csv", {"README.txt": "Some data.\nReleased under the MIT-like spirit.\n"}, "unknown", ""),
    (
        "a.csv",
        {"README.md": "# 데이터\n\n## 라이선스\n\n공공누리 제2유형\n"},
        "LicenseRef-KOGL-2",
        "README.md",
    ),
    (
        "a.csv",
        {"README.md": "It is licensed under the Apache License, Version 2.0.\n"},
        "Apache-2.0",
        "README.md",
    ),
    (
        "a.csv",
        {"datapackage.json": '{"licenses": [{"name": "ODC-PDDL-1.0", "path": "x"}]}'},
        "PDDL-1.0",
        "datapackage.json",
    ),
    (
        "a.csv",
        {"datapackage.json": '{"licenses": [{"path": "https://creativecommons.org/licenses/by/4.0/"}]}'},
        "CC-BY-4.0",
        "datapackage.json",
    ),
    ("a.csv", {"dataset_info.json": '{"license": "what we like"}'}, "unknown", "dataset_info.json"),
    ("x/a.csv", {"x/dataset_info.json": "[]", "LICENSE": MIT}, "MIT", "LICENSE"),
    (
        "a.csv",
        {"a.csv.license": "SPDX-License-Identifier: CC-BY-4.0", "LICENSE": MIT},
        "CC-BY-4.0",
        "a.csv.license",
    ),
    ("data/b.csv", {"REUSE.toml": REUSE, "LICENSE": MIT}, "ODbL-1.0", "REUSE.toml"),
    ("data/c/d.csv", {"REUSE.toml": REUSE}, "CC0-1.0", "REUSE.toml"),
    ("other.csv", {"REUSE.toml": REUSE, "LICENSE": MIT}, "MIT", "LICENSE"),
    ("other.csv", {"REUSE.toml": "[[[", "LICENSE": MIT}, "MIT", "LICENSE"),
    ("data/b.csv", {"debian/copyright": DEP5, "LICENSE": MIT}, "CC-BY-4.0", "debian/copyright"),
    ("data/a.csv", {"copyright": DEP5, "LICENSE": MIT}, "GPL-3.0-or-later", "copyright"),
    ("data/a.csv", {"copyright": "Copyright 2020 us", "LICENSE": MIT}, "MIT", "LICENSE"),
    ("code.py", {"code.py": "# SPDX-License-Identifier: ISC\n", "LICENSE": MIT}, "ISC", "code.py"),
    ("code.py", {"code.py": "# Licensed under the Apache License, Version 2.0\n"}, "Apache-2.0", "code.py"),
    ("essay.txt", {"essay.txt": "On the Apache License, Version 2.0, and its history\n"}, "unknown", ""),
    ("essay.txt", {"essay.txt": "SPDX-License-Identifier: CC-BY-4.0\n"}, "CC-BY-4.0", "essay.txt"),
]


@pytest.mark.parametrize(("name", "written", "rights", "file"), CASES)
def test_the_nearest_evidence_stands_for_a_file(
    tmp_path: Path, name: str, written: dict[str, str], rights: str, file: str
) -> None:
    assert found(tmp_path, name, **written) == Found(rights, file)


def test_texts_in_cp949_and_broken_ones_are_read(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes("## 라이선스\n공공누리 제1유형\n".encode("cp949"))
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert FolderRights(tmp_path).of(tmp_path / "a.csv").rights == "LicenseRef-KOGL-1"
    (tmp_path / "LICENSE").write_bytes(b"\xff\xfe\x00" * 99 + MIT.encode())
    assert FolderRights(tmp_path).of(tmp_path / "a.csv").rights == "MIT"
    (tmp_path / "LICENSE").unlink()
    (tmp_path / "LICENSE").mkdir()
    assert FolderRights(tmp_path).of(tmp_path / "a.csv").rights == "LicenseRef-KOGL-1", "a folder is no text"


def test_a_source_that_detects_reads_data_and_goes_by_what_lies_beside_it(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    for name, body in {
        "a/rows.csv": "text,intent\nx,card\n",
        "a/LICENSE": MIT,
        "b/rows.csv": "text,intent\ny,card\n",
        "b/NOTICE": "nothing",
        "README.md": "# Licence\n\nCC BY 4.0\n",
    }.items():
        place = inbox / "data" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(body)
    (inbox / "LICENSE").write_text("GPL-3.0-or-later")
    turn = Turn(n=1, seed=0, task=bank().task, inbox=inbox)
    detecting = files("data/", rights="detect")
    drafts = {one.origin.batch: one for one in detecting(turn)}
    assert {batch: one.origin.rights for batch, one in drafts.items()} == {
        "data/a/rows.csv": "MIT",
        "data/b/rows.csv": "CC-BY-4.0",
    }
    assert not any(one.unread for one in drafts.values())
    names = {path.relative_to(inbox).as_posix() for path in detecting.reads(turn)}
    assert names == {
        "data/a/rows.csv",
        "data/b/rows.csv",
        "data/a/LICENSE",
        "data/b/NOTICE",
        "data/README.md",
        "LICENSE",
    }
    one = files("data/b/rows.csv", rights="detect")
    assert [draft.origin.rights for draft in one(turn)] == ["CC-BY-4.0"]
    assert inbox / "data" / "README.md" in one.reads(turn)
    stated = files("data/", rights="own")
    assert {draft.origin.rights for draft in stated(turn)} == {"own"}
