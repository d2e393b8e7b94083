"""Answers over HTTP: rows of texts, tables and pictures, and everything that is refused, with its place."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from bapsim.client import Client, ServiceError
from tests.image.pictures import encoded, many_scans, part
from tests.serve.world import Running, copied, serving


@pytest.fixture(scope="module")
def tables(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(copied(table, tmp_path_factory.mktemp("served") / "table")) as running:
        yield running


@pytest.fixture(scope="module")
def parts(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(copied(pictures, tmp_path_factory.mktemp("served") / "pictures")) as running:
        yield running


FIELDS = {"request", "prediction", "confidence", "in_scope", "model"}


def test_one_text_and_many(texts: Running) -> None:
    one = texts.predict(text="카드 분실 재발급")
    assert set(one) == FIELDS
    assert (one["prediction"], one["model"]) == ("card", "t001-people")
    assert 1 / 3 < one["confidence"] <= 1
    rows = [{"text": said, "other": 1} for said in ("loan interest", "카드 분실", "👍🏽 계좌 이체")]
    many = texts.predict(rows=rows)["answers"]
    assert [row["prediction"] for row in many] == ["loan", "card", "account"]
    assert len({row["request"] for row in many}) == 3
    lines = texts.logged(lambda log: {row["request"] for row in many} <= {line["request"] for line in log})
    inputs = {line["request"]: line["input"] for line in lines if "input" in line}
    assert [inputs[row["request"]] for row in many] == [{"text": row["text"]} for row in rows], "nothing else"


def test_requests_together_are_answered_as_alone(texts: Running) -> None:
    said = [f"loan 이자 {i}" if i % 2 else f"card 분실 {i}" for i in range(64)]
    alone = [texts.predict(text=one) for one in said[:8]]
    together = texts.predict(rows=[{"text": one} for one in said])["answers"]
    for a, b in zip(alone, together, strict=False):
        assert {k: a[k] for k in FIELDS - {"request"}} == {k: b[k] for k in FIELDS - {"request"}}


@pytest.mark.parametrize(
    ("body", "key", "where"),
    [
        (b"", "not_json", "line 1, column 1"),
        (b"{", "not_json", "line 1, column 2"),
        (b"[]", "not_an_object", None),
        (b'"text"', "not_an_object", None),
        (b"null", "not_an_object", None),
        (b"{}", "column_missing", None),
        (b'{"Text": "a"}', "column_missing", None),
        (b'{"text": 3}', "value_kind", "text"),
        (b'{"text": null}', "text_blank", "text"),
        (b'{"text": " \\n\\t "}', "text_blank", "text"),
        (b'{"text": ["a"]}', "value_kind", "text"),
        (b'{"text": NaN}', "not_a_number", None),
        (b'{"text": -Infinity}', "not_a_number", None),
        (b'{"text": "\\ud83d"}', "half_character", "text"),
        (b'{"text": "a", "key": {}}', "value_kind", "key"),
        (b'{"rows": []}', "no_rows", "rows"),
        (b'{"rows": {"text": "a"}}', "no_rows", "rows"),
        (b'{"rows": [{"text": "a"}, 3]}', "row_kind", "rows[1]"),
        (b'{"rows": [{"text": "a"}, {}]}', "column_missing", "rows[1]"),
        (b'{"rows": [{"text": "a"}, {"text": true}]}', "value_kind", "rows[1].text"),
        (b'{"rows": [{"text": "a"}, {"text": ""}]}', "text_blank", "rows[1].text"),
        ('{"text": "카드"}'.encode("cp949"), "not_utf8", None),
        ('{"text": "카드"}'.encode("utf-16"), "not_utf8", None),
        (b"\xff\xfe\x00", "not_utf8", None),
        (b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too_deep", None),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "too_deep", None),
        (b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "not_a_number", None),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_what_cannot_be_used_is_refused_with_its_place(
    texts: Running, body: bytes, key: str, where: str | None
) -> None:
    error = texts.refused(content=body, headers={"content-type": "application/json"})
    assert (error["key"], error["where"]) == (key, where)
    assert error["what"]
    assert error["next"]


def test_korean_words_for_who_reads_korean(texts: Running) -> None:
    error = texts.refused(json={"text": 3}, headers={"accept-language": "ko-KR,ko;q=0.9"})
    assert error["what"] == "이 값은 글이어야 하는데 숫자입니다."
    cp949 = texts.refused(content='{"text": "카드"}'.encode("cp949"))
    assert "cp949" in cp949["what"]


def test_limits(texts: Running) -> None:
    assert texts.predict(text="카드 " * 30_000)["prediction"] == "card"
    long = texts.refused(json={"text": "가" * 1_000_000})
    assert (long["key"], long["where"]) == ("text_too_long", "text")
    many = texts.refused(json={"rows": [{"text": "a"}] * 1025})
    assert many["key"] == "too_many_rows"
    assert len(texts.predict(rows=[{"text": "카드"}] * 1024)["answers"]) == 1024
    assert texts.refused(status=413, content=b" " * (9 << 20))["key"] == "body_too_large"
    sentences = {"rows": [{"text": "\ufdfa" * 99_999}] * 6}  # each sign stands for 18 letters
    assert texts.refused(json=sentences)["key"] == "text_written_out"
    assert len(texts.predict(rows=[{"text": "\ufdfa" * 100}] * 6)["answers"]) == 6
    claimed = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n{}"
    assert raw(texts, claimed, b" 413 ")
    chunked = (b"x" * (1 << 20) for _ in range(10))
    assert texts.http.post("/predict", content=chunked).status_code == 413


def test_content_types_and_other_sites(texts: Running) -> None:
    body = b'{"text": "loan"}'
    for kind in (
        "application/json; charset=utf-8",
        "application/vnd.x+json",
        "application/x-www-form-urlencoded",
    ):
        assert texts.http.post("/predict", content=body, headers={"content-type": kind}).status_code == 200
    for kind in ("application/xml", "image/png", "multipart/form-data; boundary=x"):
        assert texts.refused(status=415, content=body, headers={"content-type": kind})["key"] == "media_type"
    assert texts.refused(status=403, json={"text": "a"}, headers={"origin": "http://evil.example"})
    own = {"origin": texts.url}
    assert texts.http.post("/predict", json={"text": "a"}, headers=own).status_code == 200


@pytest.mark.parametrize(
    "path", ["/../../recipe.py", "/..%2f..%2fwheel/key", "/style.css/../../key", "/predict/x", "/%00"]
)
def test_paths_lead_nowhere_else(texts: Running, path: str) -> None:
    assert texts.http.get(path).status_code in (404, 405)


def test_pages_load_nothing_and_speak_both_languages(texts: Running) -> None:
    for path in ("/", "/docs"):
        got = texts.http.get(path, headers={"accept-language": "ko"})
        assert "default-src 'none'" in got.headers["content-security-policy"]
        assert "http://" not in got.text.replace(texts.url, "").replace("localhost", "") or path == "/docs"
        assert '<html lang="ko">' in got.text
        assert " style=" not in got.text
        assert "on" + "click" not in got.text
    assert "초당 답" in texts.http.get("/?lang=ko").text
    assert "answers a second" in texts.http.get("/").text
    spec = texts.http.get("/openapi.json").json()
    assert set(spec["paths"]) == {"/predict", "/feedback", "/health", "/metrics", "/status"}
    example = spec["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for one in example.values():
        assert texts.http.post("/predict", json=one["value"]).status_code == 200, "examples can be sent"


def test_metrics_and_status_count(texts: Running) -> None:
    before = texts.http.get("/status").json()
    texts.predict(text="대출 이자")
    texts.refused(json={"text": 1})
    after = texts.http.get("/status").json()
    assert after["requests"] == before["requests"] + 1
    assert after["refused"]["422"] == before["refused"].get("422", 0) + 1
    mix = after["drift"]["mix"]
    assert mix["observations"] > 0
    assert (mix["state"] == "few") == (mix["observations"] < 200 and not mix["drifted"])
    said = texts.http.get("/metrics").text
    assert 'bapsim_requests_total{route="/predict",status="200"}' in said
    assert 'bapsim_release{model="t001-people",role="serves"} 1.0' in said


def test_rows_of_a_table(tables: Running) -> None:
    row = {"rooms": 3, "size": 55.5, "lift": True, "town": "서울"}
    one = tables.predict(**row)
    assert set(one) == {"request", "prediction", "low", "high", "in_scope", "model"}
    assert one["low"] <= one["prediction"] <= one["high"]
    same = tables.predict(rows=[row, {"rooms": 1, "size": None, "lift": None, "town": None}])["answers"]
    assert same[0]["prediction"] == one["prediction"]
    assert isinstance(same[1]["prediction"], float)
    (line,) = tables.logged(lambda log: any(s["request"] == one["request"] for s in log))[:1]
    assert line["input"] == row
    assert line["confidence"] is None


@pytest.mark.parametrize(
    ("change", "key", "where"),
    [
        ({"rooms": "3"}, "value_kind", "rooms"),
        ({"rooms": 2.5}, "value_kind", "rooms"),
        ({"rooms": True}, "value_kind", "rooms"),
        ({"rooms": 2**63}, "number_out_of_range", "rooms"),
        ({"size": "55"}, "value_kind", "size"),
        ({"size": 10**400}, "number_out_of_range", "size"),
        ({"lift": 1}, "value_kind", "lift"),
        ({"town": 7}, "value_kind", "town"),
        ({"town": "x" * 100_001}, "text_too_long", "town"),
    ],
)
def test_a_table_takes_its_types_only(tables: Running, change: dict[str, Any], key: str, where: str) -> None:
    row = {"rooms": 3, "size": 55.5, "lift": True, "town": "007"}
    error = tables.refused(json=row | change)
    assert (error["key"], error["where"]) == (key, where)
    missing = {name: value for name, value in row.items() if name not in change}
    assert tables.refused(json={"rows": [row, missing]})["where"] == "rows[1]"


def test_a_row_of_nulls_says_nothing(tables: Running) -> None:
    row = {"rooms": None, "size": None, "lift": None, "town": " "}
    assert tables.refused(json=row)["key"] == "row_blank"
    error = tables.refused(json={"rows": [row | {"rooms": 3}, row]})
    assert (error["key"], error["where"]) == ("row_blank", "rows[1]")


def test_what_no_route_takes_is_refused_as_all_else(texts: Running) -> None:
    assert texts.http.get("/nothing").json()["error"]["key"] == "no_route"
    got = texts.http.get("/predict")
    assert (got.status_code, got.json()["error"]["key"], got.headers["allow"]) == (405, "method", "POST")
    assert "`rows`" in texts.refused(json={"rows": []})["what"]
    assert "empty" in texts.refused(json={"rows": []})["what"]


def test_an_infinite_number_is_none(tables: Running) -> None:
    body = b'{"rooms": 3, "size": 1e999, "lift": true, "town": "a"}'
    assert tables.refused(content=body)["key"] == "number_out_of_range"


def test_pictures_by_body_and_by_form(parts: Running) -> None:
    body = encoded(part(2, "crack"))
    raw = parts.http.post("/predict", content=body, headers={"content-type": "image/png"}).json()
    assert raw["prediction"] in ("free", "crack", "hole")
    names = ["../../../recipe.py", "/etc/passwd", "사진.png", "a\x01b.png"]
    files = [("file", (name, body, "image/png")) for name in names]
    many = parts.http.post("/predict", files=files)
    assert many.status_code == 200, many.text
    said = many.json()["answers"]
    assert [one["prediction"] for one in said] == [raw["prediction"]] * 4
    lines = parts.logged(lambda log: {one["request"] for one in said} <= {line["request"] for line in log})
    for line in lines:
        path = line["input"]["image"]["file"]
        assert path == f"pictures/{line['at'][:10].replace('-', '')}/{line['request']}.png"
        assert (parts.root / "inbox" / "service" / path).read_bytes() == body
    assert not list(parts.root.rglob("passwd"))


@pytest.mark.parametrize(
    ("body", "status", "key"),
    [
        (b"", 422, "no_picture"),
        (b"GIF89a", 422, "no_picture"),
        (b"<svg onload=alert(1)>", 422, "no_picture"),
        (encoded(part(1, "free"))[:-40], 422, "no_picture"),
        (encoded(np.zeros((6000, 6000), np.uint8)), 422, "too_many_pixels"),
        (many_scans(), 422, "too_many_pieces"),
        (b"\x89PNG" + os.urandom(17 << 20), 413, "body_too_large"),
    ],
    ids=["empty", "head", "svg", "cut", "pixels", "scans", "bytes"],
)
def test_what_is_no_picture(parts: Running, body: bytes, status: int, key: str) -> None:
    kind = {"content-type": "image/png"}
    assert parts.refused(status=status, content=body, headers=kind)["key"] == key


def test_forms_that_are_none(parts: Running) -> None:
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body in (
        b"",
        b"--x",
        b"--x\r\n\r\n--x--",
        b"nothing",
        b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
    ):
        assert parts.refused(content=body, headers=kind)["key"] in ("not_a_form", "no_file")
    assert parts.refused(content=b"a", headers={"content-type": "multipart/form-data"})["key"] == "not_a_form"
    files = [("file", ("a.png", encoded(part(1, "free")), "image/png"))] * 17
    assert parts.refused(files=files)["key"] in ("too_many_rows", "not_a_form")
    assert parts.refused(status=415, json={"image": "x"})["key"] == "media_type"


def test_the_client_sends_pictures(parts: Running, tmp_path: Path) -> None:
    file = tmp_path / "part.png"
    file.write_bytes(encoded(part(2, "crack")))
    with Client(parts.url) as client:
        a, b = client.predict(picture=file), client.predict(picture=file.read_bytes())
        assert a.prediction == b.prediction
        with pytest.raises(ServiceError):
            client.predict(picture=b"no picture")


def test_what_a_camera_wrote_is_not_kept(parts: Running) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x9003] = 6, "a maker", "2026:01:01 00:00:00"
    picture, out = Image.fromarray(part(2, "crack")), io.BytesIO()
    picture.save(out, "JPEG", exif=exif, comment=b"by me")
    got = parts.http.post("/predict", content=out.getvalue(), headers={"content-type": "image/jpeg"}).json()
    lines = parts.logged(lambda log: any(line["request"] == got["request"] for line in log))
    (line,) = [line for line in lines if line["request"] == got["request"]]
    kept = (parts.root / "inbox" / "service" / line["input"]["image"]["file"]).read_bytes()
    assert b"a maker" not in kept
    assert b"by me" not in kept
    with Image.open(io.BytesIO(kept)) as a, Image.open(io.BytesIO(out.getvalue())) as b:
        assert a.getexif()[0x0112] == 6
        assert np.array_equal(np.asarray(a), np.asarray(b))


def raw(running: Running, sent: bytes, wanted: bytes = b"") -> bool:
    """Whether the first bytes of what comes back hold `wanted`; without it, send and leave."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as one:
        one.sendall(sent)
        return wanted in (one.recv(1000) if wanted else b"")


def test_clients_that_send_nonsense_or_leave(texts: Running) -> None:
    raw(texts, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    raw(texts, b"\x00" * 100)
    assert raw(texts, b"GARBAGE\r\n\r\n", b" 400 ")
    assert texts.http.get("/health").json()["ok"]


def test_json_that_python_reads_oddly(texts: Running) -> None:
    twice = b'{"text": "loan interest", "text": "\xec\xb9\xb4\xeb\x93\x9c \xeb\xb6\x84\xec\x8b\xa4"}'
    got = texts.http.post("/predict", content=b"\xef\xbb\xbf" + twice)
    assert got.status_code == 200
    assert json.loads(got.content)["prediction"] == "card"


def test_the_client_is_told_when_nothing_listens() -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:9/health")
