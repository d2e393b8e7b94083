"""A service as processes: ends and kills under load, several workers, its name, its words, its client."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from bapsim.client import Client, ServiceError
from bapsim.core.errors import BapsimError
from bapsim.core.records import Task
from bapsim.core.turn import Turn
from bapsim.gather.service import service
from bapsim.serve.http import Rate
from tests.cli.conftest import run, said
from tests.serve.world import Running, add_model, copied, log_of, serving, until


@pytest.fixture
def root(text: Path, tmp_path: Path) -> Path:
    return copied(text, tmp_path / "text")


class Load:
    """Clients that ask and correct until the service is gone; what was acknowledged is remembered."""

    def __init__(self, url: str, clients: int = 3) -> None:
        self.url = url
        self.answered: list[str] = []
        self.corrected: list[str] = []
        self.refused: list[str] = []
        self.threads = [threading.Thread(target=self.ask, args=(k,)) for k in range(clients)]
        for one in self.threads:
            one.start()

    def ask(self, k: int) -> None:
        with httpx.Client(base_url=self.url, timeout=10, verify=False) as http:
            while True:
                try:
                    got = http.post("/predict", json={"text": f"카드 분실 {k}"})
                    if got.status_code != 200:
                        self.refused.append(got.text)
                        continue
                    request = got.json()["request"]
                    self.answered.append(request)
                    kept = http.post("/feedback", json={"request": request, "correction": "loan", "by": "b"})
                    if kept.status_code == 200:
                        self.corrected.append(request)
                except httpx.TransportError:
                    return

    def join(self) -> None:
        for one in self.threads:
            one.join()


def test_kills_under_load_lose_nothing_that_was_acknowledged(root: Path) -> None:
    kept, corrected = set(), set()
    for durable in (False, True):
        with serving(root, "--durable" if durable else "--no-durable") as running:
            load = Load(running.url)
            until(lambda load=load: len(load.corrected), lambda count: count > 20)
            assert running.stop(signal.SIGKILL) == -signal.SIGKILL
            load.join()
            kept |= set(load.answered if durable else load.corrected)
            corrected |= set(load.corrected)
            assert not load.refused
    lines = log_of(root)
    requests = {line["request"] for line in lines if "input" in line}
    feedback = {line["request"] for line in lines if "correction" in line}
    assert corrected <= feedback
    assert corrected <= requests, "the request's own line lies before what is said of it"
    assert kept <= requests, "and where answers are kept, every answer's"
    task = Task(input="text", target="label")
    turn = Turn(n=1, seed=0, task=task, inbox=root / "inbox")
    rows = [row for draft in service("service/", rights="own")(turn) for row in draft.rows.to_pylist()]
    assert {row["request"] for row in rows if row["label"] == "loan"} == feedback, "the wheel reads it"


def test_an_end_lets_everyone_finish(root: Path) -> None:
    with serving(root) as running:
        load = Load(running.url)
        until(lambda: len(load.corrected), lambda count: count > 20)
        assert running.stop(signal.SIGTERM) == 0
        load.join()
    assert not load.refused
    assert set(load.answered) == {line["request"] for line in log_of(root) if "input" in line}


def test_several_workers_are_one_service(root: Path) -> None:
    with serving(root, "--workers", 2) as running:
        requests: list[str] = []

        def asked() -> set[str]:
            """Ask on connections of their own, which any worker may take; the workers that have answered."""
            for _ in range(10):
                alone = {"connection": "close"}
                got = running.http.post("/predict", json={"text": "대출 이자"}, headers=alone).json()[
                    "request"
                ]
                requests.append(got)
                thumb = {"request": got, "thumbs": 1}
                assert running.http.post("/feedback", json=thumb, headers=alone).status_code == 200
            return {name[11:13] for name in requests}

        until(asked, lambda workers: workers == {"00", "01"})
        count = len(requests)
        facts = until(
            lambda: running.http.get("/status").json(),
            lambda one: (one["requests"], one["feedback"].get("lines")) == (count, count),  # once a second
        )
        assert facts["workers"] == 2
        assert facts["feedback"] == {"lines": count, "up": count}
        page = running.http.get("/metrics").text
        found = re.findall(r'bapsim_requests_total\{route="/predict",status="200"\} (\d+)', page)
        assert found == [str(count)]
        children = (
            Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
        )
        os.kill(int(children[0]), signal.SIGKILL)
        until(lambda: _children(running), lambda now: len(now) == 2 and children[0] not in now)
        assert running.predict(text="카드")["prediction"] == "card"
        left = _children(running)
        running.stop(signal.SIGKILL)
        until(lambda: [pid for pid in left if Path(f"/proc/{pid}").exists()], lambda alive: not alive)
    lines = log_of(root)
    assert set(requests) <= {line["request"] for line in lines if "input" in line}
    assert {path.name.split("-")[1] for path in (root / "inbox" / "service").iterdir()} == {"w0", "w1"}


def _children(running: Running) -> list[str]:
    pid = running.process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_one_name_is_one_service(root: Path) -> None:
    """Another name serves beside it, here with a rate for each client."""
    with serving(root, "--deployment", "shop") as running:
        again = said("-C", root, "serve", "--port", "0", "--deployment", "shop", code=2)
        assert again["error"]["key"] == "already_serves"
        with serving(root, "--deployment", "desk", "--rate", 5) as other:
            assert other.predict(text="카드")["model"] == running.predict(text="카드")["model"]
            a_rate_for_each_client(other)
        facts = said("-C", root, "serve", "--status", "--deployment", "shop")
        assert (facts["running"], facts["serves"]) == (True, "t001-people")
        add_model(root, "next")
        changed = said("-C", root, "serve", "--deployment", "shop", "--shadow", "next", "--reason", "to see")
        assert changed["release"]["shadow"] == "next"
        names = {path.name.split("-")[0] for path in (root / "inbox" / "service").iterdir()}
        assert names <= {"shop", "desk"}
    facts = said("-C", root, "serve", "--status", "--deployment", "shop")
    assert (facts["running"], facts["requests"]) == (False, 1)
    words = run("-C", root, "serve", "--status", "--deployment", "shop", "--lang", "ko").stdout
    assert "t001-people 모델이 답하는 중" in words
    assert "to see" in words


def a_rate_for_each_client(running: Running) -> None:
    def asked(client: str) -> int:
        return running.http.post("/predict", json={"text": "a"}, headers={"x-client": client}).status_code

    codes = [asked("me") for _ in range(12)]
    assert codes[:5] == [200] * 5
    assert 429 in codes
    assert asked("you") == 200
    with Client(running.url, key="me") as client:
        assert client.predict(text="카드").prediction == "card", "it waits as it is told"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("--status", "--deployment", "never"), "never_served"),
        (("--deployment", "../x"), "deployment_name"),
        (("--deployment", "a-w1"), "deployment_name"),
        (("--rollback",), "serve_reason"),
        (("--rollback", "--reason", "x"), "nothing_before"),
        (("--canary", "t009", "--reason", "x"), "unknown_version"),
        (("--canary", "t001-people", "--share", "2", "--reason", "x"), "release_share"),
        (("--promote", "--rollback", "--reason", "x"), "serve_several"),
        (("--host", "192.0.2.1"), "cannot_listen"),
    ],
)
def test_what_the_verb_cannot_do(root: Path, words: tuple[str, ...], key: str) -> None:
    assert said("-C", root, "serve", *words, code=2)["error"]["key"] == key
    assert run("-C", root, "serve", *words, "--lang", "ko", code=2).stderr


def test_the_verb_changes_releases(root: Path) -> None:
    add_model(root, "next")
    done = said("-C", root, "serve", "--promote", "--reason", "follow the ledger")["release"]
    assert (done["n"], done["serves"]) == (1, None)
    assert "to see" not in run("-C", root, "serve", "--rollback", "--reason", "x", code=2).stdout


def test_a_service_without_its_parts_says_how_to_get_them(root: Path) -> None:
    """In a process where they cannot be found; the program itself goes on without them."""
    hide = "import sys; sys.modules.update(dict.fromkeys(['fastapi', 'uvicorn']));"
    find = "import importlib.util as u; f = u.find_spec;"
    find += "u.find_spec = lambda n, *a: None if n in ('fastapi', 'uvicorn') else f(n, *a);"
    both = "import contextlib; from bapsim.cli import main; at = sys.argv[1:];"
    both += "exec('with contextlib.suppress(SystemExit): main([*at, \\'serve\\', \\'--json\\'])');"
    both += "main([*at, 'show', '--json'])"
    command = [sys.executable, "-c", hide + find + both, "-C", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["error"]["key"] == "no_serve_extra"
    assert "pip install 'bapsim[serve]'" in first["error"]["next"]
    assert second["turn"] == 1


def test_a_project_without_a_model_cannot_serve(tmp_path: Path) -> None:
    (tmp_path / "recipe.py").write_text("x = 1\n")
    assert said("-C", tmp_path, "serve", code=2)["error"]["key"]


def test_a_full_disk(texts: Running) -> None:
    """Answers go on with an alarm; feedback is refused; what waited is written when there is room again."""
    first = texts.predict(text="카드")["request"]
    texts.logged(lambda log: [line["request"] for line in log[-1:]] == [first])
    pid, hard = texts.process.pid, resource.prlimit(texts.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (10, hard))
    try:
        waiting = texts.predict(text="대출")["request"]
        until(lambda: texts.http.get("/health").json()["log"]["failing"], bool)
        assert not texts.http.get("/health").json()["ok"]
        assert "bapsim_log_failing 1.0" in texts.http.get("/metrics").text
        got = texts.http.post("/feedback", json={"request": first, "thumbs": 1})
        assert (got.status_code, got.headers["retry-after"]) == (503, "1")
        last = texts.predict(text="카드")
        assert last["prediction"] == "card"
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    lines = texts.logged(lambda log: [line["request"] for line in log[-1:]] == [last["request"]])
    assert [line["request"] for line in lines[-3:]] == [first, waiting, last["request"]]
    assert texts.http.post("/feedback", json={"request": first, "thumbs": 1}).status_code == 200
    assert texts.http.get("/health").json()["ok"]


def test_a_full_disk_where_every_answer_has_to_be_kept(root: Path) -> None:
    with serving(root, "--durable") as running:
        hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (10, hard))
        for _ in range(2):
            assert running.refused(status=503, json={"text": "카드"})["key"] == "log_failing"
        assert running.http.get("/health").status_code == 503
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        until(lambda: running.http.post("/predict", json={"text": "카드"}).status_code, lambda s: s == 200)


def test_too_much_at_once_is_refused_and_nothing_is_lost(root: Path) -> None:
    add_model(root, "slow", seconds=0.3)
    run("-C", root, "use", "t001-people", "--reason", "as it is")
    from bapsim.serve.release import change

    change(root, "switch", "slow", "to fill the queue")
    with serving(root) as running:
        found: list[int] = []
        rows = [{"text": f"카드 {i}"} for i in range(1024)]

        def ask() -> None:
            got = httpx.post(f"{running.url}/predict", json={"rows": rows}, timeout=30)
            found.append(got.status_code)
            if got.status_code == 503:
                assert got.headers["retry-after"] == "1"
                assert got.json()["error"]["key"] == "busy"

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert set(found) == {200, 503}
        wanted = 1024 * found.count(200)
        assert len(running.logged(lambda log: len(log) == wanted)) == wanted


def test_the_rate_is_the_rate() -> None:
    rate = Rate(10.0)
    asked = [(i / 100, rate.take("c", i / 100)) for i in range(1000)]
    assert 105 <= sum(allowed for _, allowed in asked) <= 112


def test_the_client(texts: Running) -> None:
    with Client(texts.url, lang="ko") as client:
        one = client.predict(text="카드 분실")
        assert (one.prediction, one.model) == ("card", "t001-people")
        client.feedback(one.request, correction="loan", thumbs=-1, out_of_scope=False, comment="c", by="b")
        two = client.predict(rows=[{"text": "대출 이자"}, {"text": "계좌"}])
        assert [answer.prediction for answer in two] == ["loan", "account"]
        assert client.predict(row={"text": "카드"}).in_scope is not None
        assert client.health()["ok"]
        with pytest.raises(ServiceError, match="글이 없습니다") as why:
            client.predict(text=" ")
        assert (why.value.status, why.value.where, why.value.reason) == (422, "text", "text_blank")
        with pytest.raises(ServiceError) as why:
            client.feedback("invented", thumbs=1)
        assert why.value.status == 404
        with pytest.raises(BapsimError, match="Exactly one"):
            client.predict()  # type: ignore[call-overload]
    begun = time.monotonic()
    with pytest.raises(BapsimError, match="does not answer"), Client("http://127.0.0.1:9") as client:
        client.predict(text="카드")
    assert time.monotonic() - begun < 5


def test_bapsim_itself_stays_light() -> None:
    code = "import sys, bapsim.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"fastapi", "uvicorn", "starlette", "prometheus_client", "pydantic"} & set(loaded.split())
    assert "--deployment" in run("serve", "--help").stdout
