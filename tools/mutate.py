"""Mutation score: how many small faults, planted one by one into the code, do the tests notice?

Every fault (comparison, arithmetic, boolean, constant, return, dropped call or raise) is written into a copy
of the tree, and the tests run on it in a forked process: first the tests that reach the line, and all of the
target's tests when those notice nothing. A fault that no test notices survives, and is listed. Targets:
mutants.toml.
"""

import argparse
import ast
import concurrent.futures
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COMPARE = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


class Mutant(NamedTuple):
    line: int
    end_line: int
    start: int  # byte offsets into the source
    end: int
    was: str
    becomes: str


class Result(NamedTuple):
    mutant: Mutant
    fate: str  # killed | timeout | survived


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _constant(node: ast.Constant) -> list[str]:
    if isinstance(node.value, bool):
        return [repr(not node.value)]
    if isinstance(node.value, int):
        return [repr(node.value + 1)]
    return [repr(node.value * 1.5 + 0.25)] if isinstance(node.value, float) else []


def _expression(node: ast.AST) -> list[str]:
    """What an expression becomes, as source."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            changed = [ast.Compare(left, [other()], [right]) for other in COMPARE[type(op)]]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in ARITHMETIC:
            changed = (
                [] if _is_text(left) or _is_text(right) else [ast.BinOp(left, ARITHMETIC[type(op)](), right)]
            )
        case ast.BoolOp(op=op, values=values):
            changed = [ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)]
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            changed = [operand]
        case ast.IfExp(test=test, body=body, orelse=orelse):
            changed = [ast.IfExp(test, orelse, body)]
        case ast.Constant():
            return _constant(node)
        case _:
            return []
    return [f"({ast.unparse(ast.fix_missing_locations(other))})" for other in changed]


def _statement(node: ast.AST) -> list[str]:
    match node:
        case ast.Return(value=ast.expr() as value) if not (
            isinstance(value, ast.Constant) and value.value is None
        ):
            return ["return None"]
        case ast.Expr(value=ast.Call()) | ast.Raise():
            return ["pass"]
        case ast.Continue():
            return ["break"]
        case ast.Break():
            return ["continue"]
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in ARITHMETIC and not _is_text(
            value
        ):
            return [ast.unparse(ast.AugAssign(target, ARITHMETIC[type(op)](), value))]
        case _:
            return []


def _runs(node: ast.AST) -> Iterator[ast.AST]:
    """The node and what below it decides behaviour: no annotations, decorators, texts, or words of errors."""
    yield node
    skipped = {"annotation", "returns", "decorator_list", "bases", "type_comment"}
    if isinstance(node, ast.JoinedStr | ast.Raise):
        return
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in skipped:
                yield from _runs(child)


def mutants(source: str) -> list[Mutant]:
    starts = [0]
    for text in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(text))
    found = []
    for node in _runs(ast.parse(source)):
        for becomes in [*_expression(node), *_statement(node)]:
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            was = source.encode()[start:end].decode()
            found.append(Mutant(node.lineno, node.end_lineno, start, end, was, becomes))
    return found


def mutated(source: str, mutant: Mutant) -> str:
    raw = source.encode()
    return (raw[: mutant.start] + mutant.becomes.encode() + raw[mutant.end :]).decode()


def copy_tree(folder: Path) -> Path:
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("src", "tests", "tools", "docs", "benchmarks", "recipes"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=leave)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


class Reach:
    """A pytest plugin: which tests reach which lines of the file."""

    def __init__(self, file: Path) -> None:
        import coverage

        self.file = file
        self.coverage = coverage.Coverage(data_file=None, include=[str(file)], config_file=False)

    def pytest_sessionstart(self) -> None:
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def by_line(self) -> dict[int, list[str]]:
        self.coverage.stop()
        return self.coverage.get_data().contexts_by_lineno(str(self.file))


def _become_pytest(tree: Path, arguments: list[str], reach: Path | None) -> None:
    """In a fresh fork: run pytest on the tree's own source, and end with its status."""
    os.setpgid(0, 0)
    sink = os.open(tree / "pytest.out", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.chdir(tree)
    sys.path.insert(0, str(tree / "src"))
    os.environ["PYTHONPATH"] = str(tree / "src")
    import pytest

    plugins = [Reach(reach)] if reach else []
    quiet = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore:Module already imported"]
    # Own fixtures have to notice: shared data is not everywhere, and slow.
    status = int(pytest.main([*quiet, "-m", "not data", *arguments], plugins=plugins))
    for plugin in plugins:
        (tree / "reach.txt").write_text(repr(plugin.by_line()))
    sys.stdout.flush()
    os._exit(status)


def run_tests(tree: Path, arguments: list[str], limit: float, reach: Path | None = None) -> int | None:
    """pytest's status, None when it ran past the limit; subprocesses that it left are ended with it."""
    child = os.fork()
    if child == 0:
        try:
            _become_pytest(tree, arguments, reach)
        finally:
            traceback.print_exc()
            os._exit(70)
    end = time.monotonic() + limit
    status = None
    while status is None and time.monotonic() < end:
        done, code = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
        else:
            time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return status


TREE = Path()


def _begin_worker(folder: str) -> None:
    global TREE  # noqa: PLW0603  one copy of the tree for each worker process
    TREE = copy_tree(Path(tempfile.mkdtemp(dir=folder)))


def judge(file: str, mutant: Mutant, near: list[str], tests: list[str], limit: float) -> Result:
    source = (ROOT / file).read_text("utf-8")
    (TREE / file).write_text(mutated(source, mutant), "utf-8")
    try:
        for chosen in [near, tests] if near else [tests]:
            status = run_tests(TREE, chosen, limit)
            if status != 0:
                return Result(mutant, "timeout" if status is None else "killed")
        return Result(mutant, "survived")
    finally:
        (TREE / file).write_text(source, "utf-8")


def baseline(folder: str, file: str, tests: list[str]) -> tuple[dict[int, list[str]], float]:
    """Which tests reach which line, and how long all take; they must pass on the code as it is."""
    tree = copy_tree(Path(tempfile.mkdtemp(dir=folder)))
    start = time.monotonic()
    status = run_tests(tree, tests, 600, reach=tree / file)
    if status != 0:
        print((tree / "pytest.out").read_text("utf-8")[-4000:])
        raise SystemExit(f"{file}: its tests do not pass as they are (status {status}): {tests}")
    return ast.literal_eval((tree / "reach.txt").read_text()), time.monotonic() - start


def near_tests(mutant: Mutant, reach: dict[int, list[str]]) -> list[str]:
    """The tests that reach the line; none when the line runs on import, or only in a subprocess."""
    found = {test for line in range(mutant.line, mutant.end_line + 1) for test in reach.get(line, [])}
    return [] if "" in found or len(found) > 200 else sorted(found)


def score_target(file: str, tests: list[str], jobs: int, sample: int) -> list[Result]:
    chosen = mutants((ROOT / file).read_text("utf-8"))
    if sample and sample < len(chosen):
        chosen = sorted(random.Random(0).sample(chosen, sample))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        reach, seconds = baseline(folder, file, tests)
        print(f"{file}: {len(chosen)} mutants; its tests take {seconds:.1f} s", flush=True)
        with concurrent.futures.ProcessPoolExecutor(
            jobs, multiprocessing.get_context("fork"), _begin_worker, (folder,)
        ) as pool:
            limit = 4 * seconds + 10
            waiting = [pool.submit(judge, file, m, near_tests(m, reach), tests, limit) for m in chosen]
            return [one.result() for one in waiting]


def row(file: str, results: list[Result]) -> tuple[str, float]:
    fates = Counter(result.fate for result in results)
    score = 1 - fates["survived"] / max(1, len(results))
    cells = (file, len(results), fates["killed"], fates["timeout"], fates["survived"], f"{score:.1%}")
    return "| {} |".format(" | ".join(map(str, cells))), score


def survivors(file: str, results: list[Result]) -> Iterator[str]:
    for result in results:
        if result.fate == "survived":
            was, becomes = (
                " ".join(text.split())[:90] for text in (result.mutant.was, result.mutant.becomes)
            )
            yield f"{file}:{result.mutant.line}: {was}  ->  {becomes}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="targets of mutants.toml; all when none is named")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--sample", type=int, default=0, help="at most so many mutants of each target, drawn at random"
    )
    parser.add_argument("--write", type=Path, help="the page that gets the table and the survivors")
    arguments = parser.parse_args()
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    os.environ.pop("BAPSIM_REQUIRE_DATA", None)
    sys.dont_write_bytecode = True  # a stale .pyc of the same size and second would hide a mutant
    for heavy in ("pytest", "hypothesis", "numpy", "pyarrow.parquet"):
        __import__(heavy)  # once here, not in every fork
    table = tomllib.loads((ROOT / "tools/mutants.toml").read_text("utf-8"))
    rows, lost, low = [], [], False
    for name in arguments.names or table["target"]:
        target = table["target"][name]
        results = score_target(target["file"], target["tests"], arguments.jobs, arguments.sample)
        text, score = row(target["file"], results)
        low |= score < table["floor"]
        rows.append(text)
        lost += survivors(target["file"], results)
    head = "| file | mutants | killed | timed out | survived | score |\n|---|---|---|---|---|---|"
    body = "\n".join([head, *rows, "", "Survivors:", "", "```text", *lost, "```", ""])
    print(body)
    if arguments.write:
        how = "Written by `python tools/mutate.py --write docs/mutation.md` (part of `make prove`)."
        arguments.write.write_text(
            f"# Mutation score\n\n{how} The floor is {table['floor']:.0%}.\n\n{body}", "utf-8"
        )
    return int(low)


if __name__ == "__main__":
    sys.exit(main())
