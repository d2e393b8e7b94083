"""The first opponents: a real HTTP server, a file of predictions, the majority class."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pyarrow as pa
import pytest

from bapsim.core.errors import InputError
from bapsim.core.records import Rows
from bapsim.judge.opponents import Endpoint, majority, predicted
from bapsim.text.targets import written


def texts(*said: str) -> Rows:
    return Rows(pa.record_batch({"text": list(said)}))


def test_the_majority_answers_with_the_shares_of_the_labels() -> None:
    who = majority(["b", "a", "b", "c"])
    answers = who(texts("x", "y"))
    assert answers["prediction"].to_pylist() == ["b", "b"]
    assert answers["probs"].to_pylist() == [[0.25, 0.5, 0.25]] * 2
    assert who.classes == ("a", "b", "c")
    assert majority(["b", "a"])(texts("x"))["prediction"].to_pylist() == ["a"]


def test_predictions_of_a_file_are_found_by_their_input() -> None:
    who = predicted(texts("x", "y", "x"), ["1", "2", "1"])
    answers = who(texts("y", "never seen", "x"))
    assert answers["prediction"].to_pylist() == ["2", None, "1"]
    assert answers["_status"].to_pylist() == ["answered", "declined", "answered"]
    assert "probs" not in answers.schema.names


def test_a_file_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(InputError, match="same input"):
        predicted(texts("x", "x"), ["1", "2"])


class Handler(BaseHTTPRequestHandler):
    """Answers with the last letter of each text; /bad and /short misbehave."""

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
        said = [None if r["text"] == "?" else r["text"][-1] for r in rows]
        bodies = {
            "/good": json.dumps({"predictions": said}),
            "/short": json.dumps({"predictions": said[1:]}),
            "/other": json.dumps([1, 2]),
            "/broken": "not json",
            "/sets": json.dumps({"predictions": [sorted(set(one or "")) for one in said]}),
            "/numbers": json.dumps({"predictions": [3.5] * len(said)}),
        }
        status = 500 if self.path == "/down" else 200
        body = bodies.get(self.path, "").encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_endpoint_is_asked_in_batches(url: str) -> None:
    answers = Endpoint(url=f"{url}/good", batch=2)(texts("ab", "cd", "?", "ef", "gh"))
    assert answers["prediction"].to_pylist() == ["b", "d", None, "f", "h"]
    assert answers["_status"].to_pylist()[2] == "declined"


def test_an_endpoint_may_answer_with_sets_and_numbers(url: str) -> None:
    sets = Endpoint(url=f"{url}/sets")(texts("ab", "?"))
    assert written(sets["prediction"], "labels") == ["b", "[]"]
    assert written(Endpoint(url=f"{url}/numbers")(texts("ab"))["prediction"], "number") == ["3.5"]


@pytest.mark.parametrize("path", ["/short", "/other", "/broken", "/down"])
def test_an_endpoint_that_misbehaves_is_named(url: str, path: str) -> None:
    with pytest.raises(InputError, match="did not answer properly"):
        Endpoint(url=url + path)(texts("ab", "cd"))


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9"):
        Endpoint(url="http://127.0.0.1:9/predict", seconds=2)(texts("ab"))
