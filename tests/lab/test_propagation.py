"""Wrong labels through rows that machines write: counted, led back to their records, and quarantined."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bapsim.cli import main
from bapsim.core.errors import InputError
from bapsim.lab.propagation import Rewriter, followed, propagation, spliced, spread, written
from bapsim.report.propagated import sentences, table
from bapsim.store.project import opened
from tests.wheel.world import founded


@pytest.fixture(scope="module")
def reviews(data: Path) -> tuple[list[str], list[str]]:
    with gzip.open(data / "nsmc_ko/train.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(next(lines)) for _ in range(400)]
    kept = [(row["text"], str(row["label"])) for row in rows if row["text"] and row["label"] is not None]
    return [text for text, _ in kept], [label for _, label in kept]


def test_every_wrong_row_leads_back_and_none_is_left(
    reviews: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    texts, labels = reviews
    plan = Rewriter(seeds=12, each=2)
    held = texts[60:90], labels[60:90]
    told = followed(tmp_path / "p", texts[:60], labels[:60], held, [0, 5], plan, 2)
    assert [(one["rows"], one["wrong"]) for one in told["by_depth"]] == [(60, 2), (24, 4), (48, 8)]
    assert told["traced"]["rows"] == told["traced"]["found"] == 12
    assert told["left_wrong"] == 0
    assert told["taken"]["rows"] - told["taken"]["right"] == 2 + 12
    assert told["traced"]["candidates"][2] >= 1


def test_labels_are_carried_over_and_two_parents_share_one(
    reviews: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    texts, labels = reviews
    with opened(founded(tmp_path / "p")) as project:
        of = spread(project, texts[:40], labels[:40], [3], Rewriter(seeds=20, each=3, lent=2), 2)
        stock = of.stock
        assert np.bincount(of.depth).tolist() == [40, 60, 180]
        two = [mums for _, mums in stock.parents if len(mums) == 2]
        assert two
        for row, mums in stock.parents:
            assert {stock.labels[mum] for mum in mums} == {stock.labels[row]}
            assert of.root[row] in {of.root[mum] for mum in mums}
        assert stock.labels[3] != labels[3]


def test_half_of_a_text_stays() -> None:
    texts = ["a b c d", "e f g h i j", "k"]
    said = written(texts * 5, np.ones(15, bool), np.array([0, 1, 2, 1]), np.random.default_rng(0))
    heads = [
        one.split()[: len(texts[k].split()) // 2 or 1] for one, k in zip(said, (0, 1, 2, 1), strict=True)
    ]
    assert heads == [["a", "b"], ["e", "f", "g"], ["k"], ["e", "f", "g"]]
    assert [len(one.split()) for one in said] == [4, 6, 1, 6]
    assert spliced("a b c d", "e f g h i j") == "a b h i j"


def test_the_verb_tells_it_in_both_languages(reviews: tuple[list[str], list[str]], tmp_path: Path) -> None:
    some = list(zip(*reviews, strict=True))[:150]
    lines = [json.dumps({"said": text, "mood": label}) for text, label in some]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    words = ["-C", str(tmp_path), "lab", "propagation", str(tmp_path / "rows.jsonl"), "--generations", "1"]
    size = ["--text", "said", "--target", "mood", "--seeds", "1"]
    done = CliRunner().invoke(main, [*words, *size, "--lang", "ko"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "되짚었습니다" in done.output
    found = json.loads((tmp_path / "propagation" / "propagation.json").read_text())
    assert found["runs"][0]["left_wrong"] == 0
    assert len(table(found, "en")) == 3
    assert len(sentences(found, "en")) == 3
    with pytest.raises(InputError, match="labelled texts"):
        propagation(["a"] * 50, ["x", "y"] * 25)
    with pytest.raises(InputError, match="labelled texts"):
        propagation(["a"] * 200, ["x"] * 200)
