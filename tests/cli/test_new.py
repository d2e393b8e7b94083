"""What `new` infers, writes and refuses."""

import gzip
import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.recipe import Recipe
from bapsim.wheel.founding import Wanted, load_recipe, look_into, recipe_text
from tests.cli.conftest import run, said, sentences, write_csv


def test_new_says_what_it_inferred(tmp_path: Path) -> None:
    rows = [*sentences(60, 3), {"text": "no label", "label": " "}]
    file = tmp_path / "train.jsonl.gz"
    with gzip.open(file, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
        out.write("{broken\n")
    found = said("new", tmp_path / "bank", "--from", file)
    assert (found["kind"], found["input"], found["target"]) == ("text", ["text"], "label")
    assert (found["format"], found["encoding"], found["rows"]) == ("jsonl", "utf-8", 61)
    assert (found["labelled"], found["pool"], found["unread"]) == (60, 1, {"json": 1})
    assert found["classes"] == {"account": 20, "card": 20, "loan": 20}
    assert (tmp_path / "bank/inbox/data/train.jsonl.gz").read_bytes() == file.read_bytes()
    recipe = (tmp_path / "bank/recipe.py").read_text("utf-8")
    assert len(recipe.splitlines()) <= 40
    assert 'maker="person"' in recipe
    assert isinstance(load_recipe(tmp_path / "bank"), Recipe)
    words = run("new", tmp_path / "other", "--from", file).stdout
    assert "taken as made by people" in words
    assert "recipe.py" in words


def test_the_licence_beside_a_file_is_written_into_the_recipe(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", sentences(30, 1))
    assert said("new", tmp_path / "alone", "--from", file)["rights"] == "own"
    (tmp_path / "README.md").write_text("# A\n\n## License\n\nCC BY-NC 4.0\n")
    assert said("new", tmp_path / "read", "--from", file)["rights"] == "CC-BY-NC-4.0"
    assert 'maker="person", rights="CC-BY-NC-4.0"' in (tmp_path / "read/recipe.py").read_text("utf-8")
    (tmp_path / "LICENSE").write_text("a licence of our own")
    words = run("new", tmp_path / "odd", "--from", file).stdout
    assert "LICENSE beside the file" in words
    assert 'rights="unknown"' in (tmp_path / "odd/recipe.py").read_text("utf-8"), "nobody knows: not own"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", sentences(30, 1))
    (tmp_path / "there").mkdir()
    run("new", tmp_path / "there", "--from", file)
    before = (tmp_path / "there/recipe.py").read_bytes()
    assert said("new", tmp_path / "there", "--from", file, code=2)["error"]["key"] == "folder_not_empty"
    assert (tmp_path / "there/recipe.py").read_bytes() == before


def test_a_table_takes_all_other_columns(tmp_path: Path) -> None:
    rows = [
        {"id": f"{i:03d}", "age": str(20 + i % 50), "code": f"{i % 7:02d}", "bp": str(i * 3)}
        | {"site": "ab"[i % 2], "ok": "yn"[i % 3 == 0]}
        for i in range(90)
    ]
    rows[5]["bp"] = "?"
    file = write_csv(tmp_path / "heart.csv", rows)
    found = said("new", tmp_path / "a", "--from", file, "--target", "ok", "--slice", "site")
    assert (found["kind"], found["input"]) == ("table", ["age", "code", "bp", "site"])
    assert found["types"]["code"] == "string", "07 is no number"
    assert found["types"]["age"] == "int64"
    assert found["strays"] == {"bp": {"?": 1}}
    assert load_recipe(tmp_path / "a").task.slices == ("site",)
    found = said("new", tmp_path / "b", "--from", file, "--target", "ok", "--input", "age, bp", "--key", "id")
    assert found["input"] == ["age", "bp"]
    assert load_recipe(tmp_path / "b").task.inputs == ("age", "bp")


def readings(count: int) -> list[dict[str, str]]:
    """What sensors said, each half hour: the target is told by the temperature."""
    return [
        {"측정시각": f"2026-03-{i // 48 + 1:02d} {i // 2 % 24:02d}:{i % 2 * 30:02d}:00"}
        | {"온도": "-" if i % 29 == 0 else "" if i % 31 == 0 else f"{20 + i * 7 % 100 / 10}"}
        | {"압력": f"{i * 37 % 101 / 100}", "설비": ["012", "007", "021"][i % 3]}
        | {"판정": "불량" if i * 7 % 100 > 60 else "정상"}
        for i in range(count)
    ]


def test_times_are_no_text_and_what_means_no_value_is_said_in_words_to_paste(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "sensors.csv", readings(400), "cp949")
    found = said("audit", file, "-o", tmp_path / "p.html")
    assert (found["kind"], found["inputs"]) == ("table", ["온도", "압력", "설비"])
    told = run("new", tmp_path / "p", "--from", file, "--target", "판정").stdout
    assert "설비 holds" not in told, "012 is a code"
    nulls, kinds = 'nulls=("-",),', '"온도": "float64"'
    assert nulls in told
    assert kinds in told
    recipe = tmp_path / "p/recipe.py"
    body = recipe.read_text("utf-8").replace('"온도": "string"', kinds)
    recipe.write_text(body.replace('"data/",', f'"data/", {nulls}'), "utf-8")
    turned = said("-C", tmp_path / "p", "turn")
    assert turned["accounts"]["unread"] == 0
    done = said("-C", tmp_path / "p", "predict", file, "-o", tmp_path / "said.jsonl")
    assert (done["lines"], done["unread"]) == (400, 0), "a turn's nulls are nulls of the prediction, too"


def test_columns_beside_a_guessed_text_are_named(tmp_path: Path) -> None:
    rows = [row | {"amount": str(i * 7 % 50)} for i, row in enumerate(sentences(60, 1))]
    file = write_csv(tmp_path / "a.csv", [{"note": row.pop("text")} | row for row in rows])
    told = run("new", tmp_path / "p", "--from", file).stdout
    assert "Only the text in note is read, which is a guess; left out are amount." in told
    assert "left out are amount." in run("audit", file, "-o", tmp_path / "p.html").stdout
    assert "left out" not in run("new", tmp_path / "q", "--from", file, "--text", "note").stdout


def test_names_of_the_log_and_personal_data_are_said_before_they_hurt(tmp_path: Path) -> None:
    rows = [
        {"model": f"m{i % 5}", "km": str(i * 7 % 90), "mail": f"kim{i % 3}@example.com" if i % 2 else "none"}
        for i in range(90)
    ]
    rows = [row | {"sold": "yes" if int(row["km"]) < 40 else "no"} for row in rows]
    file, root = write_csv(tmp_path / "a.csv", rows), tmp_path / "p"
    found = said("new", root, "--from", file, "--target", "sold", "--input", "model,km,mail")
    assert found["personal"] == 45
    told = run("new", tmp_path / "q", "--from", file, "--target", "sold", "--input", "model,km,mail").stdout
    assert "45 rows hold personal data" in " ".join(told.split())
    assert "like columns of the service's log: model." in " ".join(told.split())
    assert "service(" not in (root / "recipe.py").read_text("utf-8")
    said("-C", root, "turn")
    assert said("-C", root, "serve", code=2)["error"]["key"] == "log_columns"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (("--text", "nope"), "no_such_column"),
        (("--text", "text", "--input", "a,b"), "text_and_input"),
        (("--text", "label", "--target", "text"), "not_classes"),
        (("--target", "same"), "one_label"),
    ],
)
def test_what_cannot_be_a_task_is_refused(tmp_path: Path, options: tuple[str, ...], key: str) -> None:
    rows = [{**row, "same": "x"} for row in sentences(60, 1)]
    file = write_csv(tmp_path / "a.csv", rows)
    assert said("new", tmp_path / "p", "--from", file, *options, code=2)["error"]["key"] == key
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"], "nothing is left half-made"


def test_a_guessed_label_is_said_to_be_guessed(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "a.csv", sentences(60, 1))
    assert "taken to be in the column label" in run("new", tmp_path / "p", "--from", file).stdout
    assert "taken to be in" not in run("new", tmp_path / "q", "--from", file, "--target", "label").stdout


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n", "utf-8")
    assert (
        said("new", tmp_path / "p", "--from", tmp_path / "a.csv", code=2)["error"]["key"] == "nothing_to_read"
    )
    assert said("new", tmp_path / "p", "--from", tmp_path / "b.csv", code=2)["error"]["key"] == "not_there"


NAMES = st.lists(
    st.text(st.sampled_from(string.printable + "한글\"'\\{}#"), min_size=1, max_size=12).filter(
        lambda s: (
            s.strip() == s and not s.startswith("_") and "\n" not in s and "\r" not in s and "\0" not in s
        )
    ),
    min_size=2,
    max_size=30,
    unique=True,
)


@given(names=NAMES, lang=st.sampled_from(["en", "ko"]))
def test_a_recipe_means_what_the_file_says_whatever_its_columns_are_called(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], lang: str
) -> None:
    place = tmp_path_factory.mktemp("names")
    *inputs, target = names
    rows = [{**{name: str(i) for name in inputs}, target: "ab"[i % 2]} for i in range(8)]
    file = place / "data.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    found = look_into(file, Wanted(target=target, inputs=tuple(inputs)))
    written: dict[str, Any] = {}
    exec(recipe_text(found, 'a"""\\name', lang), written)  # our own text
    recipe = written["recipe"]
    assert recipe.task.inputs == tuple(inputs)
    assert recipe.task.target == target
    assert recipe.sources["data"].types == found.types


def test_a_wide_table_still_has_a_short_recipe(tmp_path: Path) -> None:
    rows = [{**{f"pixel_{j}": str(i * j) for j in range(64)}, "digit": "ab"[i % 2]} for i in range(20)]
    file = write_csv(tmp_path / "wide.csv", rows)
    run("new", tmp_path / "p", "--from", file, "--target", "digit")
    text = (tmp_path / "p/recipe.py").read_text("utf-8")
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 110
    assert len(load_recipe(tmp_path / "p").task.inputs) == 64


@pytest.mark.data
def test_a_real_file_is_understood(data: Path, tmp_path: Path) -> None:
    found = said("new", tmp_path / "bank", "--from", data / "banking77/train.jsonl.gz")
    assert (found["kind"], found["input"], found["target"]) == ("text", ["text"], "intent")
    assert len(found["classes"]) == 77
    assert found["rows"] == found["labelled"] == sum(found["classes"].values())


def test_what_kind_of_answer_is_said_and_may_be_told_otherwise(tmp_path: Path) -> None:
    rows = [
        {
            "text": f"a sentence about order {i}",
            "tags": ["[]", "red", "red; blue", "blue"][i % 4],
            "score": f"{i / 7:.3f}",
        }
        for i in range(80)
    ]
    file = write_csv(tmp_path / "rows.csv", rows)
    found = said("new", tmp_path / "sets", "--from", file, "--text", "text", "--target", "tags")
    assert (found["answer"], found["classes"]) == ("labels", {"blue": 40, "red": 40})
    assert (found["labelled"], found["pool"]) == (80, 0)
    assert found["types"]["tags"] == "string"
    recipe = (tmp_path / "sets/recipe.py").read_text("utf-8")
    assert 'answer="labels"' in recipe
    assert "metric=accuracy" in recipe
    found = said(
        "new", tmp_path / "one", "--from", file, "--text", "text", "--target", "tags", "--answer", "class"
    )
    assert (found["answer"], len(found["classes"])) == ("class", 4)
    assert "answer=" not in (tmp_path / "one/recipe.py").read_text("utf-8")
    found = said("new", tmp_path / "number", "--from", file, "--text", "text", "--target", "score")
    assert (found["answer"], found["classes"], found["labelled"]) == ("number", {}, 80)
    assert found["types"]["score"] == "float64"
    recipe = (tmp_path / "number/recipe.py").read_text("utf-8")
    assert 'answer="number"' in recipe
    assert "import mean_absolute_error, per_item" in recipe
    load_recipe(tmp_path / "number")
    options = ("--text", "text", "--target", "tags", "--answer", "number")
    error = said("new", tmp_path / "no", "--from", file, *options, code=2)["error"]
    assert error["key"] == "not_numbers"
    assert "red; blue" in error["what"]
    told = run("new", tmp_path / "told", "--from", file, "--text", "text", "--target", "score").stdout
    assert "0 to 11.286, median 5.6425" in " ".join(told.split())
    few = write_csv(
        tmp_path / "few.csv", [{"text": f"sentence number {i}", "stars": str(i % 5)} for i in range(60)]
    )
    told = run("new", tmp_path / "few", "--from", few, "--text", "text", "--target", "stars").stdout
    assert "5 different numbers, taken as names of classes" in " ".join(told.split())
    found = said(
        "new", tmp_path / "near", "--from", few, "--text", "text", "--target", "stars", "--answer", "number"
    )
    assert found["answer"] == "number"
