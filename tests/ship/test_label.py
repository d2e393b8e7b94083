"""What is counted while rows stream by."""

from dataclasses import replace

import pyarrow as pa

from bapsim.ship import label as labels
from bapsim.ship.certificate import Terms
from bapsim.ship.label import Tally
from tests.ship.given import PEOPLE, label_of


def test_labels_of_every_kind() -> None:
    tally = Tally()
    tally.targets("train", pa.array(["a", None, "b", "a"]))
    tally.targets("test", pa.array([["a", "c"], [], None]))
    tally.targets("train", pa.array([1, 0]))
    assert tally.classes == {"train": {"a": 2, "b": 1, "1": 1, "0": 1}, "test": {"a": 1, "c": 1}}
    assert tally.range is None
    tally.targets("train", pa.array([1.5, None, float("nan")]))
    tally.targets("test", pa.array([-2.0, float("inf")]))
    assert tally.range == (-2.0, 1.5)
    tally.targets("train", pa.array([b"x"]))
    assert sum(tally.classes["train"].values()) == 5, "bytes are no labels"


def test_votes() -> None:
    tally = Tally()
    tally.raters(pa.array([["a", "a"], ["a", "b"], ["a"], None, []]))
    tally.raters(pa.array([["c", "c", "c"]]))
    tally.raters(pa.array(["a; b"]))
    assert (tally.votes.questions, tally.votes.agreed) == (3, 2)


def test_a_thousand_names_are_classes_ten_thousand_are_not(monkeypatch) -> None:
    monkeypatch.setattr(labels, "MOST_CLASSES", 10)
    tally = Tally()
    tally.targets("train", pa.array([str(i) for i in range(11)]))
    tally.targets("train", pa.array(["more"]))
    assert tally.too_many
    assert "more" not in tally.classes["train"], "memory does not grow with them"
    assert label_of(tally=tally).classes == {}


def test_sources_that_differ_by_file_or_consent_are_one() -> None:
    tally, own = Tally(), Terms(("own",), ())
    tally.rows[(replace(PEOPLE, batch="a.csv"), own, (1, 0, True))] = 3
    tally.rows[(replace(PEOPLE, batch="b.csv", consent="form"), Terms(("own",), ("form",)), (2, 0, True))] = 2
    tally.rows[(PEOPLE, own, (0, None, False))] = 4
    first, second = tally.grouped()
    assert (first.rows, first.consented, first.input_maker, first.target_maker) == (5, 2, "machine", "person")
    assert (second.rows, second.consented, second.input_maker, second.target_maker) == (4, 0, "person", "")


def test_shares_and_rights() -> None:
    tally = Tally()
    tally.rows[(PEOPLE, Terms(("CC-BY-4.0", "own"), ()), (0, 0, True))] = 1
    tally.rows[(PEOPLE, Terms(("CC-BY-4.0", "own"), ()), (1, 0, True))] = 1
    tally.rows[(PEOPLE, Terms(("unknown",), ()), (None, None, False))] = 1
    one = label_of(tally=tally)
    assert tally.hands == {(0, 0, True): 1, (1, 0, True): 1, (None, None, False): 1}
    assert one.machine_made == 1
    assert one.rights == {"CC-BY-4.0": 2, "own": 2, "unknown": 1}
    assert one.unknown_rights == 1
    assert one.scripts == {}
    assert label_of().scripts == {"hangul": 0.8, "latin": 0.2, "other": 0.0}
