"""Groups beside columns: the language of a text by its letters, the source of a row."""

from __future__ import annotations

import pyarrow as pa

from bapsim.core.records import Origin, Records, Task
from bapsim.core.turn import Turn
from bapsim.judge.groups import by_language, by_source
from bapsim.text.scripts import languages


def turn(**more) -> Turn:
    return Turn(n=1, seed=0, task=Task(input=("text", "size"), target="label"), **more)


def test_languages_are_told_by_letters_alone() -> None:
    texts = [
        "카드 분실",
        "lost card",
        "VPN 접속 안 됨",
        "カードをなくした",
        "我的卡丢了",
        "Карта",
        "12:30 !!",
        None,
        "",
    ]
    said = ["ko", "latin", "ko", "ja", "zh", "other", None, None, None]
    assert languages(texts) == said
    assert languages([]) == []


def test_a_group_by_language() -> None:
    texts = pa.array(["카드 분실", "lost card", None, "1234"])
    rows = Records(pa.record_batch({"text": texts, "size": pa.array([1.0, 2.0, 3.0, 4.0])}))
    assert by_language()(rows, turn()) == ["ko", "en", None, None]
    assert by_language("text", latin="de")(rows, turn())[1] == "de"
    assert by_language("size")(rows, turn()) == [None] * 4
    assert by_language("nothing")(rows, turn()) == [None] * 4


def test_a_group_by_source() -> None:
    made = Origin(source="desk", input_maker="person", target_maker="person", method="m", rights="own")
    rows = Records(pa.record_batch({"_origin": pa.array([3, 3], pa.int64())}))
    assert by_source()(rows, turn(origins={3: made})) == ["desk", "desk"]
