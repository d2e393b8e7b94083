"""Python code is right when it passes its unit tests, in a sandbox (refine.sandbox)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import ClassVar

from bapsim.core.records import Records, Verdicts
from bapsim.core.turn import Turn
from bapsim.refine.mutation import Audit
from bapsim.refine.sandbox import Examined, Limits, examined
from bapsim.refine.verifying import Asked, audited, judged, prompt
from bapsim.text.canonical import LONGEST

REASON = "fails_tests"
KINDS, ITEMS = ("digit", "sign", "swap", "other"), 160  # of an audit: each try costs two processes
_FENCED = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_DEFINES = re.compile(r"(?m)^(?:async\s+)?def\s+(\w+)\s*\(")


@dataclass(frozen=True, kw_only=True)
class PassesTests:
    """The verifier `passes_tests`: code that fails its row's tests is refused (`fails_tests`).

    prompt, tests, entry: columns of the text that the code goes on from, its tests, and the name of the
    function. Silent where a row has no tests, or where these need more than plain values (numbers, texts,
    lists, sets, mappings). How sharp the tests are, the audit says.
    """

    prompt: str = "prompt"
    tests: str = "test"
    entry: str = "entry_point"
    limits: Limits = field(default_factory=Limits)
    verifies: ClassVar[bool] = True

    def accepts(self, asked: Asked, answer: str) -> bool | None:
        """asked: the row with the three columns; answer: a completion, or a whole function, fenced or not."""
        said = self.tried(asked, answer)
        return None if said is None else said.passed

    def tried(self, asked: Asked, answer: str) -> Examined | None:
        """What the tests say; None where there are none."""
        if not isinstance(asked, Mapping):
            return None
        before, tests, entry = (str(asked.get(name) or "") for name in (self.prompt, self.tests, self.entry))
        if not tests or not entry:
            return None
        if len(answer) > LONGEST:
            return Examined(passed=False, why="too_long")
        source = program(before, answer, entry)
        return examined(source, tests, entry, setup=before_function(before, entry), limits=self.limits)

    def __call__(self, records: Records, turn: Turn) -> Verdicts:
        return judged(records, turn, self.accepts, REASON, seconds=2 * self.limits.seconds)

    def mutated(self, records: Records, turn: Turn) -> Audit:
        def equals(asked: Asked, one: str, other: str) -> bool:
            before, entry = (prompt(asked, name) for name in (self.prompt, self.entry))
            return same_program(program(before, one, entry), program(before, other, entry))

        seconds = 2 * self.limits.seconds
        return audited(records, turn, self.accepts, kinds=KINDS, equals=equals, most=ITEMS, seconds=seconds)


def passes_tests(
    *, prompt: str = "prompt", tests: str = "test", entry: str = "entry_point", limits: Limits | None = None
) -> PassesTests:
    """The verifier `PassesTests` for these columns."""
    return PassesTests(prompt=prompt, tests=tests, entry=entry, limits=limits or Limits())


def program(before: str, answer: str, entry: str) -> str:
    """The source of an answer: where it defines the function itself, with what stood before the function in
    the prompt (imports, helpers); else the prompt and its completion.
    """
    if fenced := _FENCED.search(answer):
        answer = fenced[1]
    if entry in _DEFINES.findall(answer):
        return before_function(before, entry) + answer
    return before + answer


def before_function(before: str, entry: str) -> str:
    """What a prompt holds before the function that is asked for: imports and helpers. Nothing of prose."""
    start = next((one.start() for one in _DEFINES.finditer(before) if one[1] == entry), None)
    return "" if start is None else before[:start]


def same_program(one: str, other: str) -> bool:
    """Whether two sources compile to the same instructions: blanks, comments, the sign of 0 do not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            left, right = (compile(source, "answer", "exec") for source in (one, other))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return _instructions(left) == _instructions(right)


def _instructions(code: CodeType) -> tuple[object, ...]:
    consts = [_instructions(c) if isinstance(c, CodeType) else (type(c), repr(c)) for c in code.co_consts]
    return code.co_code, consts, code.co_names, code.co_varnames
