"""The laboratory of collapse, on a little of Shakespeare: the order of the policies, and what the
guard does.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bapsim.cli import main
from bapsim.core.errors import InputError
from bapsim.lab import collapse as lab
from bapsim.lab.arms import World, as_items, blocks, examined, names_of, some
from bapsim.report.generations import curves, page, sentences, spread, table
from bapsim.text import ngram_lm

ARMS = ("replace", "replace@0.5", "mix10", "subsample", "accumulate", "anchor", "best", "verified", "guarded")


@pytest.fixture(scope="module")
def text(data: Path) -> str:
    with gzip.open(data / "tinyshakespeare/input.txt.gz", "rt", encoding="utf-8") as file:
        return file.read()


@pytest.fixture(scope="module")
def found(text: str) -> dict[str, Any]:
    return lab.collapse(text, generations=4, seeds=(0,), arms=ARMS, most=30_000)


def test_the_policies_come_in_the_order_that_papers_tell(found: dict[str, Any]) -> None:
    end = {name: lab.last(found, name)[0] for name in ARMS}
    order = [end[name] for name in ("replace@0.5", "replace", "mix10", "subsample", "accumulate", "anchor")]
    assert order == sorted(order, reverse=True)
    assert end["anchor"] > 0
    assert end["accumulate"] / end["replace"] <= 0.35
    assert end["anchor"] / end["replace"] <= 0.25


def test_keeping_what_another_model_likes_improves_its_score_and_nothing_else(found: dict[str, Any]) -> None:
    (score,) = found["arms"]["best"]["score"]
    assert score == sorted(score, reverse=True)
    assert lab.last(found, "best", "coverage")[0] < lab.last(found, "replace", "coverage")[0]
    assert lab.last(found, "best")[0] > 5 * lab.last(found, "anchor")[0]


def test_the_guard_refuses_what_harms_and_ends_where_people_are(found: dict[str, Any]) -> None:
    (said,) = found["arms"]["guarded"]["guard"]
    assert len(said) == 4
    assert not any(one["admitted"] for one in said)
    assert lab.last(found, "guarded")[0] == 0


def test_the_guard_admits_what_helps(text: str) -> None:
    """More of people's text, whoever delivers it, is admitted: a guard that refuses everything
    proves nothing.
    """
    codes, words = ngram_lm.numbered(ngram_lm.tokens(text))
    part = lab.cut(codes, len(words), 30_000, 1)
    learn = lab.trigrams(part)
    rng = np.random.default_rng(0)
    base = learn(part.learn)
    world = World(learn=learn, real=part.learn, judge=part.judge, outside=base, sharp=0.0, rng=rng, base=base)
    fresh = some(part.others, 30_000, rng)
    said = examined(world, learn(np.concatenate([part.learn, fresh])), fresh)
    assert said.admitted
    assert said.reason == "collapse.admitted"
    copies = np.tile(part.learn[:1500], 20)
    assert not examined(world, learn(np.concatenate([part.learn, copies])), copies).admitted


def test_the_parts_of_a_text_share_no_word_place() -> None:
    part = lab.cut(np.arange(20_000), 20_000, 8_000, 0)
    every = np.concatenate([part.learn, part.fit, part.judge, part.test, part.others])
    assert len(every) == len(np.unique(every)) == 20_000
    assert len(part.learn) == 8_000
    with pytest.raises(InputError) as error:
        lab.cut(np.arange(3_999), 4_000, 8_000, 0)
    assert error.value.key == "lab_text_too_short"


@pytest.mark.parametrize("name", ["", "nothing", "replace@", "replace@2", "replace@x", "@0.5"])
def test_an_arm_that_is_none_is_refused(name: str) -> None:
    if name == "replace@":
        assert names_of([name])[0][2] == 0
        return
    with pytest.raises(InputError) as error:
        names_of([name])
    assert error.value.key == "no_such_arm"


def test_blocks_are_drawn_once_each() -> None:
    codes = np.arange(1000)
    drawn = some(codes, 500, np.random.default_rng(0))
    assert len(np.unique(drawn)) == 500
    assert len(some(codes, 9_999, np.random.default_rng(0))) == 1000
    assert len(as_items(codes)) == len(blocks(codes)) == 20


def test_names_at_the_ends_of_lines_do_not_cover_one_another() -> None:
    places = spread([100.0, 101.0, 99.0, 300.0, 300.0, 300.0])
    assert np.diff(sorted(places)).min() >= 13.9
    assert np.argsort(places[:3]).tolist() == [2, 0, 1]
    drawn = curves([("a<b", [0, 1.0]), ("b", [0, 2.0])], 'said "so"')
    assert "a&lt;b" in drawn
    assert "&quot;so&quot;" in drawn


def test_the_verb_writes_a_page_and_numbers(tmp_path: Path, found: dict[str, Any], text: str) -> None:
    (tmp_path / "글.txt").write_bytes(("가나다 라마바 사아자\n" * 900 + "차카타 파하 " * 600).encode("cp949"))
    for lang in ("en", "ko"):
        command = ["-C", str(tmp_path), "--lang", lang, "--json", "lab", "collapse", str(tmp_path / "글.txt")]
        told = CliRunner().invoke(
            main, [*command, "--generations", "1", "--seeds", "1", "--arms", "anchor,guarded"]
        )
        assert told.exit_code == 0, told.output
        said = json.loads(told.stdout)
        assert set(said["arms"]) == {"anchor", "guarded"}
        written = Path(said["page"]).read_text("utf-8")
        assert "<svg" in written
        assert "http" not in written.replace("http://www.w3.org", "")
    (tmp_path / "short.txt").write_text("too short")
    told = CliRunner().invoke(main, ["lab", "collapse", str(tmp_path / "short.txt")])
    assert told.exit_code == 2
    assert "4,000" in told.stderr or "4000" in told.stderr
    told = CliRunner().invoke(main, ["lab", "collapse", str(tmp_path / "none.txt")])
    assert told.exit_code == 2
    for lang in ("en", "ko"):
        whole = page(found, "play.txt", lang)
        assert all(f">{one}<" in whole for one in ARMS)
        assert len(sentences(found, lang)) == 4
        assert len(table(found, lang)) == len(ARMS) + 2
