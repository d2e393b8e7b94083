"""Changes of a recipe's text: what is written by hand stays, and the diff is one that patch takes."""

import ast
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.wheel.founding import quoted
from bapsim.wheel.rewriting import diff, form_of, read_recipe, rewritten

RECIPE = '''"""은행의 레시피"""

from bapsim.core.recipe import Recipe

BUDGET = 200
recipe = Recipe(
    # 과제: "카드" 문의
    task=Task(input="글", target="라벨"),
    sources={
        "data": files("data/", rights="own"),  # 우리 것
    },
    surveys={"copies": near_duplicates(0.8)},
    questions=worth_asking(200, exam_share=0.2),  # a week's work
    guideline={
        "가": ("묻는 것"
              "이다")  # 까닭
    },
    judge=per_item(), metric=accuracy, gate=paired(), exam=exam()  # the last
)
'''
CHANGES = (
    {"what": "budget", "value": "100", "old": "200"},
    {"what": "exam_share", "value": "0.4"},
    {"what": "copies", "value": "0.9"},
    {"what": "exam", "value": "600"},
    {"what": "labels"},
    {"what": "weights", "items": {'"data"': "0.5"}},
    {"what": "guideline", "items": {'"나"': '"다르다"', '"가"': '"새로"'}},
    {"what": "merged", "items": {'"a"': '"b"'}},
)


def called(text):
    """The recipe's arguments as source, by name; and those of the task."""
    form = form_of(text)
    names = {one.arg: ast.unparse(one.value) for one in form.call.keywords}
    return names


def test_each_change_finds_its_place_and_nothing_else_is_touched():
    new, done = rewritten(RECIPE, CHANGES)
    assert done == [True] * len(CHANGES)
    said = called(new)
    assert said["questions"] == "worth_asking(100, exam_share=0.4)"
    assert said["exam"] == "exam(size=600)"
    assert ast.literal_eval(said["weights"]) == {"data": 0.5}
    assert ast.literal_eval(said["guideline"]) == {"가": "새로", "나": "다르다"}
    assert said["task"] == "Task(input='글', target='라벨', merged={'a': 'b'})"
    assert said["surveys"] == "{'copies': near_duplicates(0.9), 'labels': label_errors()}"
    assert "from bapsim.refine.label_errors import label_errors\n" in new
    for comment in ("# 과제", "# 우리 것", "# a week's work", "# 까닭", "# the last"):
        assert new.count(comment) == 1
    for name in ("sources", "judge", "metric", "gate"):
        assert said[name] == called(RECIPE)[name]


def test_a_change_that_is_made_is_not_made_again():
    new, _ = rewritten(RECIPE, CHANGES)
    again, done = rewritten(new, CHANGES)
    assert again == new
    assert not any(done[:4] + done[5:])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "recipe = (",
        "recipe = None\n",
        "recipe = made()\n",
        "recipe, other = Recipe(), 1\n",
        "def f():\n    recipe = Recipe()\n",
        "recipe = Recipe()\nrecipe = Recipe()\n",
        "\0",
    ],
)
def test_another_form_of_recipe_is_left_as_it_is(text):
    assert rewritten(text, CHANGES) == (text, [False] * len(CHANGES))


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("recipe = Recipe(questions=worth_asking(BUDGET))\n", CHANGES[0]),
        ("recipe = Recipe(questions=worth_asking(*some))\n", CHANGES[1]),
        ("recipe = Recipe(questions=worth_asking(1) or worth_asking(2))\n", CHANGES[0]),
        ("recipe = Recipe(**common)\n", CHANGES[5]),
        ("recipe = Recipe(weights=WEIGHTS)\n", CHANGES[5]),
        ("recipe = Recipe(weights={**WEIGHTS})\n", CHANGES[5]),
        ("recipe = Recipe(task=TASK)\n", CHANGES[7]),
        ("recipe = Recipe(surveys={})\n", CHANGES[2]),
    ],
)
def test_what_is_no_literal_is_not_replaced(text, change):
    assert rewritten(text, [change]) == (text, [False])


def test_money_stays_money():
    text = 'recipe = Recipe(questions=worth_asking("60,000 KRW", each="300 KRW"))\n'
    new, done = rewritten(text, [CHANGES[0]])
    assert (called(new)["questions"], done) == ("worth_asking('30,000 KRW', each='300 KRW')", [True])


def test_line_ends_a_mark_and_a_single_line_stay():
    text = "\ufeff" + RECIPE.replace("\n", "\r\n")
    new, done = rewritten(text, CHANGES)
    assert all(done)
    assert new.startswith("\ufeff")
    assert new.count("\n") == new.count("\r\n") > text.count("\n")
    assert new.replace("\r\n", "\n")[1:] == rewritten(RECIPE, CHANGES)[0]
    one, done = rewritten("recipe = Recipe(task=Task(), sources={},)", CHANGES[5:6])
    assert (one, done) == ('recipe = Recipe(task=Task(), sources={}, weights={"data": 0.5})', [True]) or (
        called(one)["weights"] == "{'data': 0.5}"
    )


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


@given(label=NAMES, rule=NAMES, there=NAMES, long=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_label_and_rule_comes_back_as_it_was(label, rule, there, long):
    rule = rule + "긴 규칙 " * 30 * long
    for text in (RECIPE, f"recipe = Recipe(guideline={{{quoted(there)}: 'x'}})\n", "recipe = Recipe()\n"):
        new, done = rewritten(text, [{"what": "guideline", "items": {quoted(label): quoted(rule)}}])
        assert done == [True] or new == text
        said = ast.literal_eval(called(new)["guideline"])
        assert said[label] == rule


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.text(st.characters(codec="utf-8"), max_size=60))
@settings(max_examples=60, deadline=None)
def test_a_diff_is_empty_only_where_nothing_differs(old, new):
    assert (diff(old, new) == "") == (old == new)


@pytest.mark.parametrize("tool", ["patch -p1", "patch -p0 recipe.py", "git apply"])
@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_patch_and_git_take_the_diff(tmp_path, tool, end):
    if shutil.which(tool.split()[0]) is None:
        pytest.skip(f"no {tool.split()[0]} here")
    text = RECIPE.removesuffix("\n") if not end else RECIPE.replace("\n", end)
    changes = [*CHANGES, {"what": "guideline", "items": {quoted("\"따옴표\" '둘'"): quoted('말 "그대로"')}}]
    new, done = rewritten(text, changes)
    assert all(done)
    (tmp_path / "recipe.py").write_bytes(text.encode())
    (tmp_path / "recipe.diff").write_bytes(diff(text, new).encode())
    words = ["--binary"] if tool.startswith("patch") and end == "\r\n" else []
    command, source = [*tool.split(), *words], (tmp_path / "recipe.diff").read_bytes()
    done = subprocess.run(command, cwd=tmp_path, input=source, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    assert (tmp_path / "recipe.py").read_bytes() == new.encode()


def test_a_file_in_another_encoding_is_read_as_python_reads_it():
    body = ("# -*- coding: cp949 -*-\n" + RECIPE).encode("cp949")
    text, encoding = read_recipe(body)
    assert (encoding, text.splitlines()[1]) == ("cp949", '"""은행의 레시피"""')
    assert read_recipe(b"\xef\xbb\xbfx = 1\n") == ("\ufeffx = 1\n", "utf-8")
