"""Deliveries with a certificate: what was signed for enters as deep as it says, anything else is unread."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from bapsim.core.errors import InputError
from bapsim.core.records import Draft, Numbering, Task, certify
from bapsim.gather.delivered import CERTIFICATE, FORM, delivered
from bapsim.store.sealing import public_key, signed
from bapsim.testing import check_source, turn_of

TASK = Task(input="text", target="intent")
ROWS = [{"text": f"a text {i}", "intent": "card", "row_id": f"r{i}", "secret": "x"} for i in range(3)]


def folder(root: Path, rows: list[dict[str, str]] = ROWS, **changes: Any) -> tuple[Path, dict[str, Any]]:
    """A signed delivery in the inbox `root / in`, and its certificate."""
    place = root / "in" / "vendor" / "data"
    place.mkdir(parents=True)
    body = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (place / "rows.jsonl").write_bytes(body)
    file = {"path": "data/rows.jsonl", "rows": len(rows), "sha256": hashlib.sha256(body).hexdigest()}
    about = {"form": FORM, "files": [file], "depth": {"input": 1, "target": 1}, "rights": ["own"], **changes}
    said = signed(root / "keys", about)
    (place.parent / CERTIFICATE).write_text(json.dumps(said))
    return place.parent, said


def taken(root: Path, signer: str | None = None, name: str = "vendor", **how: Any) -> list[Draft]:
    source = delivered(name, signer=signer or public_key(root / "keys"), **how)
    return list(source(turn_of(TASK, inbox=root / "in")))


def reasons(drafts: list[Draft]) -> list[str]:
    return [one.reason for draft in drafts for one in draft.unread]


def test_what_was_signed_for_enters_as_machine_made_with_its_own_names(tmp_path: Path) -> None:
    folder(tmp_path, depth={"input": 3, "target": 2})
    (draft,) = taken(tmp_path)
    assert draft.rows.schema.names == ["text", "intent"], "only what the task names"
    assert draft.keys == ["r0", "r1", "r2"]
    assert draft.unread == ()
    origin = draft.origin
    assert (origin.input_maker, origin.target_maker, origin.rights) == ("machine", "machine", "own")
    assert origin.method.startswith("delivered:")
    records = certify(draft, secret=b"k", origin=1, numbering=Numbering())
    assert records.column("_input_depth").to_pylist() == [3, 3, 3]
    assert records.column("_target_depth").to_pylist() == [2, 2, 2]
    assert taken(tmp_path, rights="bought")[0].origin.rights == "bought"
    source = delivered("vendor", signer=public_key(tmp_path / "keys"))
    check_source(source, turn_of(TASK, inbox=tmp_path / "in"))


@pytest.mark.parametrize("depth", [{"input": 0, "target": 0}, {"input": None, "target": None}])
def test_a_vendors_word_that_people_made_it_is_nobodys(tmp_path: Path, depth: dict[str, Any]) -> None:
    folder(tmp_path, depth=depth, rights=["a", "b"])
    (draft,) = taken(tmp_path)
    assert (draft.origin.input_maker, draft.origin.target_maker) == ("unknown", "unknown")
    assert draft.origin.rights == "unknown", "which of several holds for a row is not said"
    records = certify(draft, secret=b"k", origin=1, numbering=Numbering())
    assert records.column("_input_depth").null_count == 3


def test_another_signer_or_a_changed_word_is_refused_whole(tmp_path: Path) -> None:
    place, said = folder(tmp_path)
    other = public_key(tmp_path / "others")
    assert reasons(taken(tmp_path, other)) == ["certificate_signer"]
    better = {**said, "body": {**said["body"], "depth": {"input": 0, "target": 0}}}
    (place / CERTIFICATE).write_text(json.dumps(better))
    assert reasons(taken(tmp_path)) == ["certificate_signature"]
    forged = {**signed(tmp_path / "others", said["body"]), "public_key": said["public_key"]}
    (place / CERTIFICATE).write_text(json.dumps(forged))
    assert reasons(taken(tmp_path)) == ["certificate_signature"]
    (place / CERTIFICATE).unlink()
    assert reasons(taken(tmp_path)) == ["certificate_missing"]
    assert all(len(draft.rows) == 0 for draft in taken(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"body": 1}',
        '{"body": {}}',
        "[" * 100_000,
        '{"body": {"form": "bapsim delivery 1"}, "public_key": []}',
    ],
)
def test_a_certificate_that_is_none(tmp_path: Path, text: str) -> None:
    place, _ = folder(tmp_path)
    (place / CERTIFICATE).write_text(text)
    assert reasons(taken(tmp_path))[0] in ("certificate_form", "certificate_signer")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"files": [{"path": "data/rows.jsonl", "rows": 4}]}, "certificate_form"),
        ({"files": 3}, "certificate_form"),
        ({"depth": {"input": -1, "target": 1}}, "certificate_form"),
        ({"depth": {"input": True, "target": 1}}, "certificate_form"),
        ({"depth": {"input": 10**9, "target": 1}}, "certificate_form"),
        ({"files": [{"path": "../../out.jsonl", "rows": 1, "sha256": "0"}]}, "certificate_form"),
        ({"files": [{"path": "/etc/passwd", "rows": 1, "sha256": "0"}]}, "certificate_form"),
        ({"files": [{"path": "none.jsonl", "rows": 1, "sha256": "0"}]}, "certificate_file"),
        ({"files": [{"path": "data/rows.jsonl", "rows": 3, "sha256": "0" * 64}]}, "certificate_hash"),
    ],
)
def test_what_a_signer_says_that_cannot_be(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    folder(tmp_path, **changes)
    drafts = taken(tmp_path)
    assert reasons(drafts) == [reason]
    assert sum(len(draft.rows) for draft in drafts) == 0


def test_a_changed_or_shortened_file_leaves_the_others(tmp_path: Path) -> None:
    place, said = folder(tmp_path)
    files = said["body"]["files"]
    (place / "more.jsonl").write_bytes((place / "data" / "rows.jsonl").read_bytes())
    short = {**files[0], "rows": 4}
    body = {**said["body"], "files": [short, {**files[0], "path": "more.jsonl"}]}
    (place / CERTIFICATE).write_text(json.dumps(signed(tmp_path / "keys", body)))
    drafts = taken(tmp_path)
    assert reasons(drafts) == ["certificate_rows"]
    assert sum(len(draft.rows) for draft in drafts) == 3
    (place / "more.jsonl").write_bytes(b'{"text": "a lie", "intent": "card"}\n')
    assert reasons(taken(tmp_path)) == ["certificate_rows", "certificate_hash"]


def test_a_link_out_of_the_inbox_is_followed_by_nobody(tmp_path: Path) -> None:
    place, said = folder(tmp_path)
    (tmp_path / "outside.jsonl").write_bytes((place / "data" / "rows.jsonl").read_bytes())
    (place / "data" / "rows.jsonl").unlink()
    (place / "data" / "rows.jsonl").symlink_to(tmp_path / "outside.jsonl")
    assert reasons(taken(tmp_path)) == ["certificate_file"]
    with pytest.raises(InputError):
        taken(tmp_path, name="../keys")
    assert said["body"]["form"] == FORM
