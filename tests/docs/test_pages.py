"""Code blocks run, links lead somewhere, and both languages say the same."""

import json
import os
import re
import string
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "DECISIONS").glob("*.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
KOREAN = "README.ko.md"  # its blocks are those of README.md, so they run once
RUNS = {"python", "console"}
SHOWN = {"text", "json", "toml", "yaml", "html", "mermaid"}
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    kind: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        inside = re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE)
        found.append(Block(match[2], inside, text.count("\n", 0, match.start()) + 2))
    return found


def prose(text: str) -> str:
    """The text without code, fenced or inline."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))


class Command(NamedTuple):
    typed: str
    shows: list[str]


def commands(block: str) -> list[Command]:
    found: list[Command] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:], []))
        elif found and found[-1].typed.endswith("\\"):
            found[-1] = Command(found[-1].typed + "\n" + line, [])
        elif line.strip():
            found[-1].shows.append(line.strip())
    return found


def shown(promised: str, printed: str) -> bool:
    """Whether a line of the page is a line of the output; `...` in the page stands for anything."""
    pattern = ".*".join(re.escape(part) for part in promised.split("..."))
    return any(re.fullmatch(pattern, line.strip()) for line in printed.splitlines())


def run_console(block: Block, page: str) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "200",
    }
    for command in commands(block.text):
        done = subprocess.run(
            ["bash", "-c", command.typed],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == 0, f"{page}:{block.line}: $ {command.typed}\n{printed}"
        missing = [line for line in command.shows if not shown(line, printed)]
        assert not missing, f"{page}:{block.line}: not printed: {missing}\n{printed}"


def run_blocks(text: str, page: str) -> None:
    namespace: dict[str, object] = {"__name__": "page"}
    for block in blocks(text):
        if block.kind == "python":
            code = "\n" * (block.line - 1) + block.text
            exec(compile(code, page, "exec"), namespace)
        elif block.kind == "console":
            run_console(block, page)


@pytest.mark.parametrize("page", [name for name in NAMES if name != KOREAN])
def test_code_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a page run in its order, in one new folder and one namespace, as a reader would run them."""
    monkeypatch.chdir(tmp_path)
    run_blocks((ROOT / page).read_text("utf-8"), page)


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ echo three\nfour\n```\n",
        "- in a list:\n  ```console\n  $ exit 3\n  ```\n",
    ],
    ids=["python", "status", "output", "indented"],
)
def test_a_page_that_lies_is_caught(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError):
        run_blocks(text, "planted.md")


def test_a_page_may_leave_out_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_blocks(
        "```console\n$ echo took 3.14 s; echo more > file\ntook ... s\n$ cat file\nmore\n```\n", "p.md"
    )


@pytest.mark.parametrize("page", NAMES)
def test_every_block_says_what_it_is(page: str) -> None:
    found = blocks((ROOT / page).read_text("utf-8"))
    strange = [f"{page}:{block.line}: {block.kind!r}" for block in found if block.kind not in RUNS | SHOWN]
    assert not strange, f"code that runs is marked {sorted(RUNS)}, text to look at {sorted(SHOWN)}"
    promises = [b for b in found if b.kind == "console" and not b.text.startswith("$ ")]
    assert not promises, f"{page}: a console block starts with '$ '"


def anchors(text: str) -> set[str]:
    """The anchors that a forge makes of headings."""
    made: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *#*$", FENCE.sub("", text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        found.add(f"{slug}-{made[slug]}" if made[slug] else slug)
        made[slug] += 1
    return found


def lost_links(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            lost.append(target)
    return lost


@pytest.mark.parametrize("page", NAMES)
def test_relative_links_lead_somewhere(page: str) -> None:
    assert not lost_links(ROOT / page)


def test_a_lost_link_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# The gate, *now*\n[a](#the-gate-now) [b](#gone) [c](no.md) [d](page.md) `[e](code.md)`\n"
    )
    assert lost_links(page) == ["#gone", "no.md"]


def typed_in(text: str) -> list[str]:
    """What is to be typed, without what is said of it beside, or what the program says."""
    typed = [line for line in text.splitlines() if re.match(r"\$ |make |bapsim ", line)]
    return [re.split(r"\s{2,}", line)[0].removesuffix(" --lang ko") for line in typed]


def test_the_korean_page_follows_the_english_one() -> None:
    english, korean = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.ko.md"))
    levels = [re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE) for text in (english, korean)]
    assert levels[0] == levels[1]
    assert [(b.kind, typed_in(b.text)) for b in blocks(english)] == [
        (b.kind, typed_in(b.text)) for b in blocks(korean)
    ]


def fields(text: str) -> Counter[str]:
    return Counter({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


MESSAGES = sorted((ROOT / "src/bapsim/messages").glob("*.json"))


def refuse_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    twins = [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]
    assert not twins, f"defined twice: {twins}"
    return dict(pairs)


@pytest.mark.parametrize("file", MESSAGES, ids=lambda file: file.name)
def test_every_message_is_there_in_both_languages_with_the_same_fields(file: Path) -> None:
    broken = []
    for key, said in json.loads(file.read_text("utf-8"), object_pairs_hook=refuse_twins).items():
        if set(said) != {"en", "ko"}:
            broken.append(f"{key}: languages {sorted(said)}")
            continue
        parts = [s if isinstance(s, list) else [s] for s in (said["en"], said["ko"])]
        if len(parts[0]) != len(parts[1]) or fields("".join(parts[0])) != fields("".join(parts[1])):
            broken.append(f"{key}: {parts}")
        korean = re.search("[가-힣]|%p", "".join(parts[1]))  # %p: points, as Koreans write them
        if korean is None and parts[0] != parts[1]:
            broken.append(f"{key}: the Korean text has no Korean")
    assert not broken


def test_no_key_is_defined_in_two_files() -> None:
    keys = Counter(key for file in MESSAGES for key in json.loads(file.read_text("utf-8")))
    assert not [key for key, count in keys.items() if count > 1]
