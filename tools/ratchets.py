"""Ratchets: code lines of each part and file, import cycles, and the cost of starting, against ratchets.toml.

Complexity, statements and parameters of functions are ruff's part (C901, PLR09xx in pyproject.toml);
directions of imports are import-linter's part (there too).
"""

import argparse
import ast
import io
import os
import resource
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
Edges = dict[str, set[str]]


def code_lines(source: str) -> int:
    """Lines that carry code: no blank lines, comments, or docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = node.body[0] if node.body else None
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return len(lines)


def counted(folders: Iterable[Path]) -> dict[Path, int]:
    files = sorted(file for folder in folders if folder.is_dir() for file in folder.rglob("*.py"))
    return {file: code_lines(file.read_text(encoding="utf-8")) for file in files}


def check_parts(
    package: Path, parts: Mapping[str, Mapping[str, object]], lines: Mapping[Path, int]
) -> list[str]:
    """Print used/budget of every part; return what is over, and files that no part or several own."""
    used = dict.fromkeys(parts, 0)
    broken = []
    for file, count in lines.items():
        name = file.relative_to(package).as_posix()
        owners = [
            part
            for part, entry in parts.items()
            for path in entry["paths"]
            if name == path or (path.endswith("/") and name.startswith(path))
        ]
        if len(owners) != 1:
            broken.append(f"{name}: belongs to {len(owners)} parts of ratchets.toml {owners}, not to one")
        for owner in owners:
            used[owner] += count
    for part, entry in parts.items():
        if used[part]:
            print(f"  {part:<20}{used[part]:>6} / {entry['lines']}")
        if used[part] > entry["lines"]:
            broken.append(f"{part}: {used[part]} code lines, {entry['lines']} allowed")
    print(f"  {'together':<20}{sum(used.values()):>6} / {sum(entry['lines'] for entry in parts.values())}")
    return broken


def check_files(root: Path, limit: int, lines: Mapping[Path, int]) -> list[str]:
    longest = max(lines, key=lambda file: lines[file], default=None)
    if longest is not None:
        print(f"  longest file        {lines[longest]:>6} / {limit}  {longest.relative_to(root)}")
    return [f"{f.relative_to(root)}: {n} code lines, {limit} allowed" for f, n in lines.items() if n > limit]


def _is_type_checking(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in {getattr(test, "id", None), getattr(test, "attr", None)}


def _runtime_imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at any depth, inside functions too; not those for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield from _runtime_imports(ast.Module([other], []))
        else:
            yield from _runtime_imports(child)


def _targets(
    module: str, is_package: bool, node: ast.Import | ast.ImportFrom
) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        keep = len(parts) - node.level + is_package
        base = ".".join([*parts[:keep], *([base] if base else [])])
    yield from ((base, alias.name) for alias in node.names)


def imports_within(package: Path) -> Edges:
    """Which module of the package imports which; `from a import b` means module a.b where there is one."""
    modules = {}
    for file in sorted(package.rglob("*.py")):
        name = ".".join(file.relative_to(package.parent).with_suffix("").parts)
        modules[name.removesuffix(".__init__")] = file
    edges: Edges = {name: set() for name in modules}
    for name, file in modules.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in _runtime_imports(tree):
            for base, attribute in _targets(name, file.name == "__init__.py", node):
                exact = f"{base}.{attribute}"
                target = exact if exact in modules else base
                if target in modules and target != name:
                    edges[name].add(target)
    return edges


def cycles(edges: Edges) -> list[list[str]]:
    """Groups of modules that reach one another."""
    reach: Edges = {}
    for start in edges:
        seen: set[str] = set()
        stack = [start]
        while stack:
            for target in edges[stack.pop()] - seen:
                seen.add(target)
                stack.append(target)
        reach[start] = seen
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in edges if a in reach[a]}
    return [list(group) for group in sorted(groups)]


STARTS = {
    "import bapsim": "import bapsim",
    "bapsim --help": (
        "import runpy, sys\nsys.argv = ['bapsim', '--help']\n"
        "from bapsim.cli import main\n"
        "try: main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    ),
}
REPORT = "\nimport sys\nprint('LOADED', *sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"


def measure_start(program: str, source: Path) -> tuple[float, set[str]]:
    """CPU seconds (user + system) of a fresh Python that runs the program, and the modules that it loaded."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE", "COV_"))}
    environment["PYTHONPATH"] = str(source)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", program + REPORT], env=environment, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"it does not start: {done.stderr.strip().splitlines()[-1]}")
    loaded = next(line for line in done.stderr.splitlines() if line.startswith("LOADED")).split()[1:]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, set(loaded)


def check_start(source: Path, limit: float, never: Iterable[str]) -> list[str]:
    broken = []
    for name, program in STARTS.items():
        try:
            runs = [measure_start(program, source) for _ in range(5)]
        except RuntimeError as error:
            broken.append(f"{name}: {error}")
            continue
        seconds, loaded = min(runs, key=lambda run: run[0])
        print(f"  {name:<20}{seconds:>6.2f} / {limit} CPU-s")
        if seconds > limit:
            broken.append(f"{name}: {seconds:.2f} CPU-s, {limit} allowed")
        broken += [f"{name}: loads {module}" for module in sorted(set(never) & loaded)]
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=HERE.parent, help="the tree to measure")
    parser.add_argument("--no-start", action="store_true", help="leave out the cost of starting")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    package = root / "src" / "bapsim"
    table = tomllib.loads((HERE / "ratchets.toml").read_text(encoding="utf-8"))
    print("code lines, used / budget")
    broken = check_parts(package, table["parts"], counted([package]))
    broken += check_files(root, table["file"]["lines"], counted(root / f for f in table["file"]["folders"]))
    found = cycles(imports_within(package))
    print(f"  import cycles       {len(found):>6} / 0")
    broken += [f"import cycle: {', '.join(group)}" for group in found]
    if not arguments.no_start:
        broken += check_start(root / "src", table["start"]["cpu_seconds"], table["start"]["never"])
    for line in broken:
        print(f"BROKEN {line}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
