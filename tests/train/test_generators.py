"""Generators of tables: what comes out can stand in the table, follows the seed, and looks like the class."""

from datetime import datetime, timedelta
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import Damaged, InputError, NotEnough, RecipeError
from bapsim.core.recipe import Mixture, Model
from bapsim.core.records import Records, Rows, Task
from bapsim.store import artifacts
from bapsim.train import cells, drawing
from bapsim.train.table_copula import correlations, margin, roots, scored, scores, table_copula
from bapsim.train.table_diffusion import decoded, encoded, quantiles, table_diffusion
from bapsim.train.table_smote import majority, table_smote

INPUTS = ("size", "count", "colour", "wet", "made", "empty", "same", "step")
SMALL = table_diffusion(steps=500, hidden=64)
TINY = table_diffusion(steps=20, hidden=16)
TRAINERS = {"smote": table_smote(), "copula": table_copula(), "diffusion": SMALL}


NO_TORCH = pytest.mark.skipif(
    find_spec("torch") is None, reason="torch is not installed (the extra [vision])"
)
NAMES = ["smote", "copula", pytest.param("diffusion", marks=NO_TORCH)]


def quickest(name: str):
    """The trainer, where it does not matter how well it learns."""
    return TINY if name == "diffusion" else TRAINERS[name]


def factory(n: int, rare: int, seed: int = 0) -> pa.RecordBatch:
    """A table of every type with empty cells; rare rows are large, red, and come in pairs of two columns."""
    rng = np.random.default_rng(seed)
    bad = np.arange(n) < rare
    size = np.where(bad, 8, 2) + rng.normal(size=n)
    colour = np.where(bad, "red", rng.choice(["green", "blue", "빨강"], n))
    made = [datetime(2026, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 300, n)]  # noqa: DTZ001
    hole = rng.random((2, n)) < 0.2
    return pa.RecordBatch.from_pydict(
        {
            "size": pa.array(size, pa.float32(), mask=hole[0]),
            "count": pa.array((10 * np.round(size * 4)).astype(np.int64)),
            "colour": pa.array(colour.tolist(), mask=hole[1]).dictionary_encode(),
            "wet": pa.array(rng.random(n) < 0.3),
            "made": pa.array(made, pa.timestamp("us")),
            "empty": pa.nulls(n, pa.float64()),
            "same": pa.array(np.full(n, 7), pa.int8()),
            "step": pa.array(rng.choice([0.0, 0.5, 2.5], n)),
            "label": pa.array(np.where(bad, "rare", "fine").tolist()),
        }
    )


def mixture(rows: pa.RecordBatch, inputs=INPUTS, answer="class", weight=None) -> Mixture:
    task = Task(input=tuple(inputs), target="label", kind="table", answer=answer)
    return Mixture(task=task, records=Records(rows), weight=weight)


def asks(label: str, seeds) -> Rows:
    said = {"label": pa.array([label] * len(seeds), pa.string()), "_seed": pa.array(list(seeds), pa.int64())}
    return Rows(pa.RecordBatch.from_pydict(said))


class Models(dict):
    """Each is trained when a test first asks for it."""

    def __missing__(self, name: str) -> Model:
        self[name] = TRAINERS[name](None, mixture(factory(300, 30)), 3)
        return self[name]


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_out_can_stand_in_the_table(models, name):
    real = factory(300, 30)
    for label in ("rare", "fine"):
        drawn = models[name](asks(label, range(150)))
        assert drawn.schema.names == list(INPUTS)
        assert drawn.schema.types == [real.schema.field(c).type for c in INPUTS]
        for column in ("colour", "wet", "same", "step"):
            assert set(drawn.column(column).to_pylist()) <= set(real.column(column).to_pylist()), column
        low, high = (f(v for v in real.column("size").to_pylist() if v is not None) for f in (min, max))
        sizes = [v for v in drawn.column("size").to_pylist() if v is not None]
        assert low <= min(sizes)
        assert max(sizes) <= high
        assert len(set(sizes)) > 50  # no copies
        assert all(v % 10 == 0 for v in drawn.column("count").to_pylist())
        assert all(v.hour == v.minute == 0 for v in drawn.column("made").to_pylist())  # whole days stay such
        assert drawn.column("empty").null_count == 150
        assert drawn.column("made").null_count == drawn.column("count").null_count == 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_follows_the_class_and_its_columns_go_together(models, name):
    sizes, reds, tied = {}, {}, {}
    for label in ("rare", "fine"):
        drawn = models[name](asks(label, range(400)))
        size = np.array(drawn.column("size").cast(pa.float64()).to_numpy(zero_copy_only=False))
        count = np.array(drawn.column("count").cast(pa.float64()))
        there = ~np.isnan(size)
        sizes[label] = np.median(size[there])
        reds[label] = np.mean([c == "red" for c in drawn.column("colour").to_pylist()])
        tied[label] = np.corrcoef(size[there], count[there])[0, 1]
    assert sizes["rare"] == pytest.approx(8, abs=1.2)
    assert sizes["fine"] == pytest.approx(2, abs=0.8)
    assert reds["rare"] > 0.5
    assert reds["fine"] < 0.1
    if name != "diffusion":  # 500 steps of a small net are not enough for that
        assert min(tied.values()) > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_is_a_row_whatever_is_asked_beside_it(models, name):
    whole = models[name](asks("rare", range(80))).to_pylist()
    assert models[name](asks("rare", [70, 3])).to_pylist() == [whole[70], whole[3]]
    first, again, other = (quickest(name)(None, mixture(factory(300, 30)), seed) for seed in (3, 3, 4))
    whole = first(asks("rare", range(80))).to_pylist()
    assert again(asks("rare", range(80))).to_pylist() == whole
    assert other(asks("rare", range(80))).to_pylist() != whole
    assert len(models[name](asks("rare", []))) == 0


@pytest.mark.parametrize("name", NAMES)
def test_kept_in_files_and_read_again(models, name, tmp_path):
    digest = artifacts.save(tmp_path / "a", models[name].save)
    model = artifacts.load(tmp_path / "a")
    asked = asks("rare", range(20))
    assert model(asked).to_pylist() == models[name](asked).to_pylist()
    assert model.classes == ("fine", "rare")
    assert artifacts.save(tmp_path / "b", model.save) == digest
    assert {p.suffix for p in (tmp_path / "a").iterdir()} == {".json", ".npz"}
    body = (tmp_path / "a" / "drawn.npz").read_bytes()
    (tmp_path / "a" / "drawn.npz").write_bytes(body[: len(body) // 2])
    with pytest.raises(Damaged):
        artifacts.load(tmp_path / "a")


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_asked(models, name):
    model = models[name]
    said = asks("rare", [1, 2])
    for wrong, key in (
        (said.drop_columns(["_seed"]), "drawn_column_missing"),
        (said.drop_columns(["label"]), "drawn_column_missing"),
        (said.set_column(1, "_seed", pa.array(["1", "2"])), "drawn_seed"),
        (said.set_column(1, "_seed", pa.array([1, None])), "drawn_seed"),
        (said.set_column(0, "label", pa.array(["rare", "균열"])), "drawn_class"),
        (said.set_column(0, "label", pa.array(["rare", None])), "drawn_class"),
    ):
        with pytest.raises(InputError) as caught:
            model(Rows(wrong))
        assert caught.value.key == key
        assert caught.value.say("ko") != caught.value.say("en")


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_learnt(name):
    trainer, rows = quickest(name), factory(40, 8)
    with pytest.raises(NotEnough, match="two"):
        trainer(None, mixture(rows.slice(10)), 0)
    with pytest.raises(RecipeError, match="draws rows of a class"):
        trainer(None, mixture(rows, answer="number"), 0)
    with pytest.raises(InputError, match="different texts"):
        trainer(None, mixture(rows_with_names(300), ("name",)), 0)
    with pytest.raises(NotEnough, match="hold nothing"):
        trainer(None, mixture(rows, ("empty",)), 0)
    with pytest.raises(InputError, match="missing"):
        trainer(None, mixture(rows, ("size", "nowhere")), 0)
    one = pa.RecordBatch.from_pydict({"size": [1.0, 2.0], "label": ["a", "b"]})
    with pytest.raises(NotEnough, match="nothing but copies"):
        trainer(None, mixture(one, ("size",)), 0)
    rare = factory(40, 1)
    with pytest.raises(NotEnough, match="'rare' has 1 rows"):
        trainer(None, mixture(rare), 0)(asks("rare", [1]))
    unheard = np.where(np.arange(40) < 8, 0, 1).astype(np.float32)
    with pytest.raises(NotEnough):
        trainer(None, mixture(factory(40, 8), weight=unheard), 0)(asks("rare", [1]))


def rows_with_names(n: int) -> pa.RecordBatch:
    names = [f"person {i}" for i in range(n)]
    return pa.RecordBatch.from_pydict({"name": names, "label": ["a", "b"] * (n // 2)})


@pytest.mark.parametrize("name", NAMES)
def test_odd_columns_do_not_break_it(name):
    n = 24
    rows = pa.RecordBatch.from_pydict(
        {
            "huge": pa.array([1e308, -1e308, float("inf"), float("nan")] * (n // 4)),
            "large": pa.array([2**63 - 1, -(2**63), 2**60] * (n // 3), pa.int64()),
            "tiny": pa.array(np.linspace(1e-300, 1e-290, n)),
            "blank": pa.array([""] * n),
            "small": pa.array([255, 0, 3] * (n // 3), pa.uint8()),
            "label": ["a", "b"] * (n // 2),
        }
    )
    names = [c for c in rows.schema.names if c != "label"]
    trainer = quickest(name)
    with np.errstate(all="raise", under="ignore"):
        drawn = trainer(None, mixture(rows, names), 0)(asks("a", range(30)))
    for column in names:
        seen = set(rows.column(column).to_pylist())
        if column not in ("tiny", "huge"):
            assert set(drawn.column(column).to_pylist()) <= seen, column
    assert all(1e-300 <= v <= 1e-290 for v in drawn.column("tiny").to_pylist())
    assert drawn.column("huge").null_count == 30  # nothing but what no float32 holds


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=30), st.sampled_from([1, 7, 100]))
@settings(max_examples=60, deadline=None)
def test_the_grain_of_whole_numbers_is_kept(values, times):
    column = pa.array([v * times for v in values], pa.int64())
    table = cells.learnt(Rows(pa.RecordBatch.from_arrays([column], names=["x"])))
    one = table.columns[0]
    drawn = np.random.default_rng(0).uniform(one.low - 5, one.high + 5, (50, 1))
    back = cells.back(table, drawn).column("x").to_pylist()
    assert all(v % times == 0 and min(values) * times <= v <= max(values) * times for v in back)
    read = cells.read(table, Rows(pa.RecordBatch.from_arrays([column], names=["x"])))
    assert cells.back(table, read).column("x").to_pylist() == column.to_pylist()  # there and back


def test_the_grain_of_decimals_and_of_none():
    assert cells.grain(np.array([0.1, 0.3, 0.7])) == pytest.approx(0.2)
    assert cells.grain(np.array([1.25, 1.5])) == pytest.approx(0.25)
    assert cells.grain(np.sort(np.random.default_rng(0).random(50))) == 0
    assert cells.grain(np.array([3.0])) == 0


def test_the_majority_of_neighbours_and_the_row_itself_among_equals():
    nan = float("nan")
    assert majority(np.array([1.0, 2.0, 2.0]), 1.0) == 2
    assert majority(np.array([1.0, 2.0]), 2.0) == 2
    assert majority(np.array([1.0, 2.0]), 3.0) == 1
    assert np.isnan(majority(np.array([nan, nan, 2.0]), 2.0))
    assert majority(np.array([nan, 2.0]), 2.0) == 2


def test_margins_scores_and_correlations():
    found = margin(np.array([3.0, np.nan, 1.0, np.nan]))
    assert found.empty == 0.5
    assert found.values.tolist() == [1, 3]
    z = scores(np.array([1.0, 1.0, 5.0, np.nan]))
    assert z[0] == z[1] < 0 == z[3] < z[2]
    x = np.random.default_rng(0).normal(size=(500, 1)) * [1.0, 1.0, 0.0]
    x[:250, 1] = np.nan
    z, there = scored(x)
    assert correlations(z, there)[0, 1] == pytest.approx(1, abs=0.01)  # what is missing weakens nothing
    root = roots(x, np.array([0] * 498 + [1] * 2), 2)
    both = root @ root.transpose(0, 2, 1)
    assert both[:, 0, 1] == pytest.approx(1, abs=0.1)  # two rows borrow
    assert both[:, 0, 2] == pytest.approx(0, abs=1e-9)


def test_scores_and_bits_lead_back_to_the_cells():
    rows = factory(200, 20).select(list(INPUTS))
    table = cells.learnt(Rows(rows))
    x = cells.read(table, Rows(rows))
    knots = [quantiles(x[:, j]) for j in range(x.shape[1])]
    there = decoded(table, knots, encoded(table, knots, x))
    assert np.array_equal(np.isnan(there), np.isnan(x))
    assert (
        cells.back(table, there)
        .select(["count", "colour", "wet", "made", "same", "step"])
        .equals(cells.back(table, x).select(["count", "colour", "wet", "made", "same", "step"]))
    )


def test_rare_rows_are_learnt_from_by_one_over_the_root_of_their_frequency():
    share = drawing.rarely(np.array([0] * 100 + [1] * 4))
    assert share.sum() == pytest.approx(1)
    assert share[100] / share[0] == pytest.approx(5)
