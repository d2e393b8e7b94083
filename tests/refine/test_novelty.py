"""Copies of people's texts are refused; how close is too close, people's own distances say."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from bapsim.core.errors import RecipeError
from bapsim.core.records import Task
from bapsim.refine.novelty import closeness, novel
from bapsim.testing import dataset_of, records_of, turn_of

TURN = turn_of(Task(input="text", target="label"))
SAID = ["the card did not arrive within the two weeks that you promised me", "환불은 언제 받을 수 있나요"]


def test_near_copies_of_people_s_rows_are_refused() -> None:
    people = records_of([{"text": text, "label": "a"} for text in SAID])
    made = [SAID[0] + " !", SAID[0].upper(), "something else altogether", None, "환불은 언제 받을 수 있나요?"]
    machine = records_of([{"text": one, "label": "a"} for one in made], maker="machine", origin=1)
    one, two = list(novel()(dataset_of(people, machine), TURN))
    assert one.column("keep").null_count == 2
    assert two.column("keep").to_pylist() == [False, False, None, None, False]
    assert two.column("reason").to_pylist()[0] == "near_copy"
    alone = list(novel()(dataset_of(machine), TURN))
    assert alone[0].column("keep").null_count == 5


def test_tables_are_left_alone() -> None:
    rows = [{"a": 1.0, "label": "x"}]
    turn = turn_of(Task(input="a", target="label", kind="table"))
    said = list(novel()(dataset_of(records_of(rows), records_of(rows, maker="machine", origin=1)), turn))
    assert [part.column("keep").to_pylist() for part in said] == [[None], [None]]
    with pytest.raises(RecipeError):
        novel(0)


@pytest.mark.data
def test_a_parrot_is_told_from_people(data: Path) -> None:
    with gzip.open(data / "nsmc_ko/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for _, line in zip(range(1800), lines, strict=False)]
    people, fresh = texts[:1200], texts[1200:]
    rng = np.random.default_rng(0)
    honest = closeness(fresh, people, rng)
    assert honest.low < 0.03
    parrot = closeness([text + " 정말" for text in people[::2]], people, rng)
    assert parrot.low > 0.2  # half of them are in the half that is looked at
    assert np.median(parrot.machine) < np.median(parrot.people)
    with pytest.raises(ValueError, match="few"):
        closeness([], people, rng)
