"""Jobs of the label desk: what comes in goes out again, in every format, whatever stands in the texts."""

import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.gather.jobs import Job, read_job, spans_in, write_job
from bapsim.gather.voices import Item, Span, Voice

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\0\x85\u2028\u2029"), min_size=1, max_size=24
).filter(lambda said: said.strip() == said and said.strip("\ufeff") == said)
LABEL = st.sampled_from(["분실", "lost", "=1+1", "a;b", "007", "👍 ok"])
BY = st.sampled_from(["p-abc", "7", "김"])


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """A job of any kind; each item has its own name, columns alike, voices of several people."""
    kind = draw(st.sampled_from(["label", "pair", "spans"]))
    columns = ("a", "b") if kind == "pair" else ("text", "note")
    items = []
    for i in range(draw(st.integers(1, 4))):
        shows = {name: draw(TEXT) for name in columns}
        voices = []
        for by in draw(st.lists(BY, unique=True, max_size=3)):
            said = draw(_said(kind, shows["text"] if kind == "spans" else ""))
            seconds = draw(st.none() | st.floats(0, 1e4))
            comment = draw(st.none() | TEXT)
            voices.append(Voice(said=said, by=by, seconds=seconds, comment=comment, skipped=said is None))
        items.append(Item(key=f"k{i}", shows=shows, voices=tuple(voices)))
    return Job(kind=kind, items=tuple(items))


def _said(kind: str, text: str) -> st.SearchStrategy:
    if kind == "pair":
        return st.none() | st.sampled_from(["a", "b", "tie"])
    if kind == "label":
        return st.none() | LABEL | st.lists(LABEL, min_size=2, max_size=3, unique=True).map(tuple)
    ends = st.integers(1, len(text))
    one = ends.flatmap(lambda end: st.builds(Span, st.integers(0, end - 1), st.just(end), LABEL))
    return st.none() | st.lists(one, min_size=1, max_size=3, unique=True).map(
        lambda spans: tuple(sorted(spans))
    )


def written(job: Job, out: str, folder: Path) -> Path:
    path = folder / f"job.{out}"
    path.write_bytes(write_job(job, out))
    return path


@pytest.mark.parametrize("out", ["json", "jsonl", "csv", "xlsx"])
@settings(max_examples=25, deadline=None)
@given(job=jobs())
def test_what_went_out_comes_in(out: str, job: Job, tmp_path_factory: pytest.TempPathFactory) -> None:
    found = read_job(written(job, out, tmp_path_factory.mktemp("job")), job.kind)
    assert not found.unread
    assert found.items == job.items


TASK = {
    "id": 12,
    "data": {"text": "🙂 Barack 대통령이 왔다", "ref": 3},
    "annotations": [
        {
            "completed_by": {"id": 4, "email": "x@y.kr"},
            "lead_time": 4.2,
            "created_at": "2021-03-09T22:16:08.728353Z",
            "ground_truth": True,
            "result": [
                {
                    "type": "labels",
                    "from_name": "l",
                    "to_name": "text",
                    "value": {"start": 3, "end": 9, "text": "Barack", "labels": ["PER"]},
                }
            ],
        },
        {"completed_by": 5, "was_cancelled": True, "result": []},
    ],
    "predictions": [{"model_version": "m", "result": []}],
}


def test_places_of_label_studio_count_utf_16_units(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([TASK]), "utf-8")
    found = read_job(path)
    assert found.kind == "spans"
    (item,) = found.items
    first, second = item.voices
    assert first.said == (Span(2, 8, "PER"),)
    assert item.shows["text"][2:8] == "Barack"
    assert (first.by, first.seconds, first.gold, second.by, second.skipped) == ("4", 4.2, True, "5", True)
    out = json.loads(write_job(found, "json"))[0]["annotations"][0]["result"][0]["value"]
    assert out == {"start": 3, "end": 9, "text": "Barack", "labels": ["PER"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": "text"}, "json"),
        ({"data": [1]}, "object"),
        ({"data": {"text": " "}}, "no_input"),
        ({"annotations": {"a": 1}}, "object"),
        ({"annotations": [3]}, "object"),
        (
            {
                "annotations": [
                    {"result": [{"type": "labels", "value": {"start": 3, "end": 99, "labels": ["x"]}}]}
                ]
            },
            "spans",
        ),
        (
            {
                "annotations": [
                    {"result": [{"type": "labels", "value": {"start": "3", "end": 9, "labels": ["x"]}}]}
                ]
            },
            "spans",
        ),
    ],
)
def test_a_task_that_is_none_is_named(change: dict, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([TASK | change, TASK | {"id": 13}]), "utf-8")
    found = read_job(path)
    assert [item.key for item in found.items] == ["13"]
    assert [one.reason for one in found.unread] == [reason]


def test_pairs_and_spans_of_other_files(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_bytes("prompt,chosen,rejected\n왜?,좋은 답,나쁜 답\n".encode("cp949"))
    found = read_job(pairs, "pair")
    assert found.items[0].shows == {"prompt": "왜?", "a": "좋은 답", "b": "나쁜 답"}
    assert [voice.said for voice in found.items[0].voices] == ["a"]
    spans = tmp_path / "spans.jsonl"
    lines = [{"text": "홍길동이 왔다", "spans": [[0, 3, "PER"]]}, {"text": "짧다", "spans": [[0, 9, "PER"]]}]
    spans.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    read = read_job(spans, "spans", target="spans")
    assert [voice.said for item in read.items for voice in item.voices] == [(Span(0, 3, "PER"),)]
    assert [(one.reason, one.line) for one in read.unread] == [("spans", 2)]
    assert read.labels == ("PER",)


def test_real_spans_go_round(data: Path, tmp_path: Path) -> None:
    with gzip.open(data / "klue_ner_ko" / "ner.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for _, line in zip(range(200), file, strict=False)]
    items = []
    for line in lines:
        spans = spans_in(json.dumps(line["entities"]), line["text"])
        items.append(
            Item(key=str(line["id"]), shows={"text": line["text"]}, voices=(Voice(said=spans, by="klue"),))
        )
    job = Job(kind="spans", items=tuple(items))
    for out in ("json", "jsonl", "csv", "xlsx"):
        found = read_job(written(job, out, tmp_path), "spans")
        assert [i.voices[0].said for i in found.items] == [
            i.voices[0].said for i in items if i.voices[0].said
        ]


def test_nothing_and_nonsense(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("text\n \n", "utf-8")
    with pytest.raises(InputError, match="nothing to label"):
        read_job(empty)
    alone = tmp_path / "alone.csv"
    alone.write_text("a,c\n1,2\n", "utf-8")
    with pytest.raises(InputError, match="no two columns"):
        read_job(alone, "pair")
    same = tmp_path / "same.jsonl"
    same.write_text('{"item":"1","text":"x","said":"a"}\n{"item":"1","text":"y","said":"a"}\n', "utf-8")
    assert [one.reason for one in read_job(same).unread] == ["item"]


def test_a_workbook_runs_nothing() -> None:
    from openpyxl import load_workbook

    job = Job(
        kind="label", items=(Item(key="1", shows={"text": "=cmd|' /C calc'!A0"}, voices=(Voice(said="=1"),)),)
    )
    book = load_workbook(io.BytesIO(write_job(job, "xlsx")))
    assert {cell.data_type for row in book.active.iter_rows() for cell in row if cell.value} == {"s"}
    assert write_job(job, "csv").decode("utf-8-sig").splitlines()[1].startswith("1,'=cmd")
