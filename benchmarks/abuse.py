"""What reading does with malformed files: each gives a clear error, or rows and unread that add up.

    OMP_NUM_THREADS=1 python benchmarks/abuse.py

Writes docs/results/abuse.md. Every case runs in a process of its own with limits on address space and time,
so that a crash, a hang or a bomb is seen and counted. A turn over the same files can be passed as `through`.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from abuse_cases import Case, by_hand, columnar_mutants, ends_in_cr, mutants, unpacked
from abuse_sources import log_mutants, sources_by_hand, vote_mutants, workbook_mutants
from bapsim.core.errors import BapsimError, messages
from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.answers import answers
from bapsim.gather.files import files
from bapsim.gather.read import REASONS, read

HERE = Path(__file__).parent
MEMORY, SECONDS = 3 << 30, 60


@dataclass
class Outcome:
    """What came of one case. wrong: why it is a failure, "" when it is none."""

    said: str = ""
    rows: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    wrong: str = ""
    seconds: float = 0
    megabytes: int = 0


# ---------------------------------------------------------------- what must hold


def through_source(case: Case, inbox: Path) -> tuple[int, Counter[str]]:
    """The whole source: inference, types, keys, drafts."""
    turn = Turn(n=1, seed=0, task=Task(input="text", target="label"), inbox=inbox)
    rows, unread = 0, Counter[str]()
    for draft in case.source(case.name)(turn):
        rows += len(draft.rows)
        unread.update(one.reason for one in draft.unread)
        for one in draft.unread:
            json.dumps([one.file, one.detail], ensure_ascii=False).encode()
            assert one.reason in REASONS, one
    return rows, unread


def through_answers(case: Case, inbox: Path) -> tuple[int, Counter[str]]:
    """As a sheet of answers; nobody asked anything, so nothing can be taken."""
    turn = Turn(n=1, seed=0, task=Task(input="text", target="label"), inbox=inbox)
    unread = Counter[str]()
    for draft in answers(case.name)(turn):
        assert len(draft.rows) == 0
        unread.update(one.reason for one in draft.unread)
    return 0, unread


def sums(case: Case, path: Path, made: Outcome) -> str:
    """Whether each line is a row or unread, of a source that makes a row of each line."""
    count, known = case.count(path), made.rows + sum(made.unread.values())
    broken = {"truncated", "damaged"} & made.unread.keys()
    return "" if broken or count in (None, known) else f"{count} lines, {known} accounted for"


def accounts(case: Case, path: Path, _: Outcome) -> str:
    """Whether rows and unread are all records of the file, each once; "" when they are."""
    places: list[int] = []
    spans: dict[int, int] = {}
    ends: list[int] = []
    open_ended: set[int] = set()  # records that may go on over several lines
    for chunk in read(path):
        for line, row in zip(chunk.lines.tolist(), chunk.rows.to_pylist(), strict=True):
            places.append(line)
            spans[line] = sum(str(cell).count("\n") for cell in row.values() if cell)
        for one in chunk.unread:
            (ends if one.reason in ("truncated", "damaged") else places).append(one.line)
            if one.reason == "encoding":
                open_ended.add(one.line)
    if len(set(places)) != len(places):
        return "a record was counted twice"
    if len(ends) > 1 or (ends and places and ends[0] <= max(places)):
        return "the end of the file is not at its end"
    count = case.count(path)
    if count is not None and len(places) != count:
        return f"{count} records, {len(places)} accounted for"
    listed = ".json" in path.suffixes and (unpacked(path.read_bytes()) or b"").lstrip().startswith(b"[")
    if listed and not ends and sorted(places) != list(range(1, len(places) + 1)):
        return "an element is missing"
    if {".csv", ".tsv"} & set(path.suffixes) and places:
        following = dict(itertools.pairwise(sorted(places)))
        spans |= {line: following.get(line, 1 << 30) - line - 1 for line in open_ended}
        return uncovered(path, places, spans)
    return ""


def uncovered(path: Path, places: list[int], spans: dict[int, int]) -> str:
    """Lines of a table that belong to no row, no unread and not to the header."""
    body = unpacked(path.read_bytes())
    if body is None or body.startswith((b"\xff\xfe", b"\xfe\xff")) or ends_in_cr(body):
        return ""
    lines = body.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    starts = sorted(places)
    lost = []
    for i, line in enumerate(lines, 1):
        if i > starts[0] and line.strip(b"\r"):
            start = starts[bisect.bisect(starts, i) - 1]
            lost += [i] if start + spans.get(start, 0) < i else []
    return f"line {lost[0]} belongs to nothing" if lost else ""


Through = Callable[[Case, Path], tuple[int, Counter[str]]]


def outcome(case: Case, inbox: Path, through: Through = through_source) -> Outcome:
    """Runs one case in this process. Anything but a BapsimError is a failure."""
    made, started = Outcome(), time.process_time()
    try:
        made.rows, unread = through(case, inbox)
        made.unread, made.said = dict(unread), "read"
        if through is through_source and (inbox / case.name).is_file():
            check = accounts if case.source is files else sums
            made.wrong = check(case, inbox / case.name, made)
    except BapsimError as clear:
        made.said = f"error {clear.key}"
        for lang in ("en", "ko"):
            said = clear.say(lang)
            if not said or len(said) > 2000 or "\x1b" in said:
                made.wrong = "an unclear error"
    except Exception:  # noqa: BLE001 whatever it is, it is the finding
        made.said, made.wrong = "crash", traceback.format_exc(limit=-3)
    made.seconds = time.process_time() - started
    return made


def apart(case: Case, through: Through = through_source) -> Outcome:
    """Runs one case in a process of its own, within MEMORY and SECONDS."""
    with tempfile.TemporaryDirectory() as folder:
        inbox = Path(folder) / "inbox"
        inbox.mkdir()
        (Path(folder) / "outside.csv").write_text("text\nsecret\n")
        if "\0" not in case.name and len(case.name) < 200 and not case.name.startswith(("..", "/")):
            case.make(inbox / case.name)
        back, front = os.pipe()
        child = os.fork()
        if not child:
            os.close(back)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            signal.alarm(10 * SECONDS)
            with os.fdopen(front, "w") as out:
                out.write(json.dumps(vars(outcome(case, inbox, through))))
            os._exit(0)
        os.close(front)
        with os.fdopen(back) as said:
            body = said.read()
        _, status, used = os.wait4(child, 0)
    if status or not body:
        return Outcome(said="killed", wrong=f"signal {os.waitstatus_to_exitcode(status)}")
    made = Outcome(**json.loads(body))
    made.megabytes = used.ru_maxrss >> 10
    return made


def cases(count: int, seed: int) -> Iterator[Case]:
    yield from by_hand()
    yield from mutants(count, seed)
    yield from columnar_mutants(count // 4, seed + 1)
    yield from sources_by_hand()
    yield from workbook_mutants(count // 4, seed + 2)
    yield from log_mutants(count // 4, seed + 3)
    yield from vote_mutants(count // 12, seed + 4)


def report(found: list[tuple[Case, Outcome]], args: argparse.Namespace) -> str:
    kinds: dict[str, list[Outcome]] = {}
    for case, one in found:
        kinds.setdefault(case.kind, []).append(one)
    reasons, errors = Counter[str](), Counter[str]()
    for _, one in found:
        reasons.update(one.unread)
        errors.update([one.said.removeprefix("error ")] if one.said.startswith("error ") else [])
    wrong = [(case, one) for case, one in found if one.wrong]
    head = f"{len(found):,} malformed inputs, {len(wrong)} failures. "
    lines = [
        "# Malformed files",
        "",
        head
        + "Each must give a clear error, or rows and unread that are all records of the file, each once.",
        f"Every case runs in a process of its own (address space {MEMORY >> 30} GiB, {SECONDS} CPU-s).",
        "",
        f"    OMP_NUM_THREADS=1 python benchmarks/abuse.py --count {args.count} --seed {args.seed}",
        "",
        "| kind | inputs | clear error | read | rows | unread | failures | most CPU-s | most MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, ones in sorted(kinds.items()):
        said = Counter("error" if one.said.startswith("error") else one.said for one in ones)
        unread = sum(sum(one.unread.values()) for one in ones)
        counts = (len(ones), said["error"], said["read"], sum(one.rows for one in ones), unread)
        cells = [kind, *(f"{count:,}" for count in counts), str(sum(bool(one.wrong) for one in ones))]
        cells += [f"{max(one.seconds for one in ones):.1f}", f"{max(one.megabytes for one in ones):,}"]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Unread, by reason: " + ", ".join(f"{r} {n:,}" for r, n in reasons.most_common()) + ".", ""]
    lines += ["Errors, by key: " + ", ".join(f"{key} {n:,}" for key, n in errors.most_common()) + ".", ""]
    lines += [f"- FAILURE {case.kind} {case.name[:80]!r}: {one.wrong[-1500:]}" for case, one in wrong]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-answers", action="store_true", help="read every file as a sheet of answers")
    args = parser.parse_args()
    messages()  # read once, before the processes part
    through = through_answers if args.as_answers else through_source
    found = [(case, apart(case, through)) for case in cases(args.count, args.seed)]
    said = report(found, args)
    print(said)
    if not args.as_answers:
        (HERE.parent / "docs" / "results" / "abuse.md").write_text(said + "\n", "utf-8")
    return int(any(one.wrong for _, one in found))


if __name__ == "__main__":
    sys.exit(main())
