"""The check of rights: by licence, by what sites reserve, by what a row was made of; also for many rows."""

import gzip
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bapsim.core.errors import RecipeError
from bapsim.core.recipe import only
from bapsim.core.records import Numbering, Origin, Records, Rows, certify, derive, rows_of, source
from bapsim.core.turn import Turn
from bapsim.refine.rights import rights
from bapsim.testing import check_check, turn_of
from tests.wheel.world import bank

OWN = Origin(source="a", input_maker="person", target_maker="person", method="rows", rights="own")


def records(origin: int = 0, **columns: list[str | None]) -> Records:
    size = len(next(iter(columns.values())))
    made = {name: pa.array(column, pa.string()) for name, column in columns.items()}
    made |= {"text": pa.array([f"t{origin}-{i}" for i in range(size)]), "intent": pa.array(["card"] * size)}
    draft = source(Rows(pa.record_batch(made)), name="a", maker="person", rights="own")
    return certify(draft, secret=b"k", origin=origin, numbering=Numbering())


def turn(**rights_of: str) -> Turn:
    """A turn whose origins 0, 1, ... have these rights."""
    origins = {i: replace(OWN, rights=one, source=name) for i, (name, one) in enumerate(rights_of.items())}
    return Turn(n=1, seed=0, task=bank().task, origins=origins)


def reasons(check: object, rows: Records, now: Turn) -> list[str | None]:
    said = check(rows, now)  # type: ignore[operator]
    assert said.column("keep").to_pylist() == [one is None for one in said.column("reason").to_pylist()]
    return said.column("reason").to_pylist()  # type: ignore[no-any-return]


def test_a_row_goes_by_its_own_licence_else_by_its_source() -> None:
    rows = records(license=["MIT", "CC-BY-NC-4.0", None, " ", "unheard of"])
    assert reasons(rights(column="license"), rows, turn(a="own")) == [
        None,
        "licence_forbids",
        None,
        None,
        "licence_unknown",
    ]
    assert reasons(rights(column="license"), rows, turn(a="unknown"))[2] == "licence_unknown"
    assert reasons(rights(), rows, turn(a="CC-BY-SA-4.0")) == [None] * 5
    assert reasons(rights(uses=("publish_text",)), rows, turn(a="CC-BY-SA-4.0")) == ["share_alike"] * 5
    assert (
        reasons(rights(uses=("publish_text",), accept=("share-alike",)), rows, turn(a="CC-BY-SA-4.0"))
        == [None] * 5
    )
    assert (
        reasons(rights(accept=("expat",), refuse=("GPL-3+",)), rows, turn(a="GPL-3.0-or-later"))[0]
        == "licence_forbids"
    )
    assert reasons(rights(), records(x=[]), turn(a="own")) == []
    check_check(rights(column="license"), rows, turn(a="own"))


def test_a_column_that_is_only_nearly_there_stops_the_recipe() -> None:
    with pytest.raises(RecipeError) as caught:
        rights(column="licence")(records(license=["MIT"]), turn(a="own"))
    assert caught.value.key == "no_rights_column"
    assert reasons(rights(column="licence"), records(other=["MIT"]), turn(a="own")) == [None]
    for wrong in (("train", "sell"), ()):
        with pytest.raises(RecipeError) as caught:
            rights(uses=wrong)
        assert caught.value.key == "unknown_use"


def test_what_a_site_reserves_goes_before_its_licence() -> None:
    said = [
        "robots train,evaluate,synthesise,publish_text,publish_weights,ship_edge,third_party",
        "tdm_reserved train,evaluate,synthesise https://a/tdm.json\nno_ai train",
        "no_ai synthesise",
        "licence_terms train https://a/rsl.xml",
        None,
    ]
    rows = records(rights_reserved=said)
    own = turn(a="own")
    assert reasons(rights(), rows, own) == ["robots", "tdm_reserved", None, "licence_terms", None]
    assert reasons(rights(uses=("synthesise",)), rows, own)[:3] == ["robots", "tdm_reserved", "no_ai"]
    taken = rights(accept=("https://a/tdm.json", "https://a/rsl.xml"))
    assert reasons(taken, rows, own) == ["robots", "no_ai", None, None, None]
    assert reasons(rights(accept=("robots",)), rows, turn(a="unknown"))[0] == "licence_unknown"


def test_what_was_derived_stands_under_the_rights_of_its_parents_as_well() -> None:
    history = turn(pool="CC-BY-NC-4.0", mine="own", typos="derived", clerk="own")
    parents = records(0, x=["1", "2"])
    mine = records(1, x=["3"])
    made = Origin(
        source="typos", input_maker="machine", target_maker="person", method="misspelt", rights="derived"
    )
    both = pa.Table.from_batches([parents, mine]).combine_chunks().to_batches()[0]
    first = derive(
        Records(both),
        [[0], [2], [1, 2]],
        rows_of(both, ["x", "text", "intent"]),
        changed=frozenset({"input"}),
        origin=made,
    )
    typos = certify(first, secret=b"k", origin=2, numbering=Numbering())
    second = derive(
        typos,
        [[0], [1]],
        Rows(rows_of(typos).slice(0, 2)),
        changed=frozenset({"target"}),
        origin=replace(OWN, source="clerk", method="asked:random"),
    )
    answers = certify(second, secret=b"k", origin=3, numbering=Numbering())
    known = replace(turn_of(bank().task, Records(both)), origins=history.origins)
    later = replace(turn_of(bank().task, Records(both), typos), origins=history.origins)
    assert reasons(rights(), typos, known) == ["licence_forbids", None, "licence_forbids"]
    assert reasons(rights(commercial=False), typos, known) == [None] * 3
    assert reasons(rights(), answers, later) == ["licence_forbids", None], (
        "a label is no licence for its input"
    )
    assert reasons(rights(), typos, history) == ["licence_unknown"] * 3, "parents that are gone"
    assert reasons(rights(), answers, history) == [None, None], "whose own rights say something"


def test_the_check_can_be_that_of_one_source() -> None:
    rows = pa.Table.from_batches([records(0, x=["1"]), records(1, x=["2"])]).combine_chunks().to_batches()[0]
    said = only("b", rights())(Records(rows), turn(a="unknown", b="unknown"))
    assert said.column("keep").to_pylist() == [None, False]


def test_licences_row_by_row_of_real_documents(data: Path) -> None:
    with gzip.open(data / "lm_en" / "docs.jsonl.gz", "rt", encoding="utf-8") as file:
        docs = [json.loads(line) for line in file]
    rows = records(license=[one["license"] for one in docs])
    said = Counter(reasons(rights(uses=("train", "publish_weights"), column="license"), rows, turn(a="own")))
    of = Counter(one["license"] for one in docs)
    assert said["share_alike"] == of["CC-BY-SA-3.0"] + of["OPL-1.0"] == 104
    assert said["licence_unknown"] == of["none-stated"] + of["other"] == 27
    assert said[None] == len(docs) - 131
    train = Counter(reasons(rights(column="license"), rows, turn(a="own")))
    assert train == {None: len(docs) - 27, "licence_unknown": 27}


def test_a_million_rows_take_seconds() -> None:
    names = [f"MIT-{i}" for i in range(60)] + ["MIT", "CC-BY-NC-4.0", None]
    rows = records(license=[names[i % len(names)] for i in range(1 << 16)])
    check, now = rights(column="license"), turn(a="own")
    check(rows, now)
    began = time.process_time()
    for _ in range(4):
        check(rows, now)
    assert 4 * (time.process_time() - began) < 8
    assert int(np.sum(np.array(reasons(check, rows, now)) == "licence_forbids")) == (1 << 16) // 63
