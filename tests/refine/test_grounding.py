"""Answers from a passage: what it says is kept, what it does not is refused, paraphrases are left."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from bapsim.core.records import Task
from bapsim.refine.grounding import grounded
from bapsim.refine.mutation import admits
from bapsim.testing import check_check, records_of, turn_of
from bapsim.text.grounds import claims, tokens

TASK = Task(input=("question", "passage"), target="answer")
PASSAGE = (
    "The bank was founded in Seoul in March 1998. It employs 2,400 people in three cities. It has no shop."
)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("March 1998", True),
        ("It employs 2,400 people in three cities. It has no shop.", True),
        ("It employs 2,400 people in three cities. It has many branches in Busan.", False),
        ("2,300", False),
        ("It employs 2,400 people or maybe not", False),
        ("There are 2,400 employees", None),
        ("", False),
        ("...", False),
        ("word " * 30_000, False),
    ],
)
def test_answers(answer: str, kept: bool | None) -> None:
    verify = grounded("passage")
    assert verify.accepts({"passage": PASSAGE}, answer) is kept
    assert verify.accepts(PASSAGE, answer) is kept
    assert verify.accepts({"passage": None}, answer) is None


def test_as_a_check() -> None:
    rows = [
        {"question": "when", "passage": PASSAGE, "answer": a}
        for a in ("1998", "1999", "In the year 98", None)
    ]
    said = grounded("passage")(records_of(rows, maker="machine"), turn_of(TASK))
    assert said.column("keep").to_pylist() == [True, False, False, None]
    assert said.column("reason").to_pylist()[1] == "ungrounded"
    check_check(grounded("passage"), records_of(rows, maker="machine"), turn_of(TASK))


@pytest.mark.data
@pytest.mark.parametrize("name", ["lm_ko", "lm_en"])
def test_sentences_of_documents(data: Path, name: str) -> None:
    """People's sentences are taken from their passage, nearly none of their mutants is."""
    rng = np.random.default_rng(0)
    rows = []
    with gzip.open(data / name / "docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            text = json.loads(line)["text"]
            parts = [p for p in text.split("\n\n") if 200 < len(p) < 2000 and "```" not in p][:3]
            for part in parts:
                found = [one for one in claims(part) if len(tokens(one)) > 3]
                if found:
                    answer = found[int(rng.integers(len(found)))]
                    rows.append({"question": "q", "passage": part, "answer": answer})
    said = grounded("passage").mutated(records_of(rows[:500]), turn_of(TASK))
    assert said.answers > 300
    assert said.false_refuse < 0.02
    assert said.false_accept < 0.01
    assert admits(said) or said.upper < 0.05
