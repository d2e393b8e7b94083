"""A proxy in front of a real endpoint that does what networks and services do: late, busy, cut, garbage.

Faults are drawn by seed, or said for the n-th request. It counts what it was asked, and delivered whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

Fault = str  # "ok", "429", "500", "503", "late", "cut", "garbage", "no_schema", "cut_json", "401", "quota"
LATE = 30.0  # seconds of a request that is never answered in time


class Proxy:
    """The proxy in a thread; as a context it runs. address: up to /v1.

    upstream: of the real one; "": the proxy answers by itself. faults: what happens to the first requests, in
    turn, then `share` of all by chance: fault -> probability; latency: seconds that each answer takes more;
    reply: what it says by itself to a request's body.
    """

    def __init__(
        self,
        upstream: str,
        *,
        faults: Sequence[Fault] = (),
        share: Mapping[Fault, float] | None = None,
        latency: float = 0.0,
        seed: int = 0,
        reply: Callable[[Mapping[str, Any]], str] | None = None,
    ) -> None:
        at = urlsplit(upstream)
        self.host, self.port = at.hostname or "", at.port or 80
        self.faults, self.share, self.latency = list(faults), dict(share or {}), latency
        self.reply = reply
        self.rng = random.Random(seed)
        self.asked: Counter[str] = Counter()  # bodies by digest
        self.delivered: Counter[str] = Counter()  # of these, answered with 200 to the last byte
        self.bodies: list[dict[str, object]] = []
        self.heads: list[str] = []
        self.now = self.most = 0
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Proxy:
        self.thread.start()
        self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._client, "127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self.ready.set()
        self.loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    def _next(self) -> Fault:
        if self.faults:
            return self.faults.pop(0)
        drawn = self.rng.random()
        for fault, share in self.share.items():
            if drawn < share:
                return fault
            drawn -= share
        return "ok"

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                head, body = await _message(reader)
                name = hashlib.sha256(body).hexdigest()
                self.asked[name] += 1
                self.bodies.append(json.loads(body))
                self.heads.append(head.decode("latin-1"))
                self.now += 1
                self.most = max(self.most, self.now)
                try:
                    if up is None and self.host:
                        up = await asyncio.open_connection(self.host, self.port)
                    if not await self._answered(head, body, up, writer):
                        return
                    self.delivered[name] += 1
                finally:
                    self.now -= 1
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            for one in (writer, *([up[1]] if up else [])):
                one.close()

    async def _answered(
        self,
        head: bytes,
        body: bytes,
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Whether the connection lives on, and its answer was given whole."""
        fault = self._next()
        if self.latency:
            await asyncio.sleep(self.latency)
        if fault == "late":
            await asyncio.sleep(LATE)
        said = _said(fault)
        if said is None and self.reply is not None:
            said = _http("200 OK", completion(self.reply(json.loads(body))))
        if said is None and up is None:
            said = _said("echo")
        if said is not None or up is None:
            writer.write(said or b"")
            await writer.drain()
            return True
        up[1].write(head + body)
        await up[1].drain()
        answer_head, answer = await _message(up[0])
        if fault == "cut":
            writer.write(answer_head + answer[: len(answer) // 2])
            await writer.drain()
            return False
        writer.write(answer_head + answer)
        await writer.drain()
        return True


def _said(fault: Fault) -> bytes | None:
    """What the proxy says by itself; None: the endpoint is asked."""
    errors: dict[Fault, tuple[str, object, str]] = {
        "429": ("429 Too Many Requests", {"error": {"code": "rate_limit"}}, "Retry-After: 0.05\r\n"),
        "429 for long": ("429 Too Many Requests", {"error": {}}, "Retry-After: 3600\r\n"),
        "500": ("500 Internal Server Error", {"error": {"message": "sk-secret"}}, ""),
        "503": ("503 Service Unavailable", {}, ""),
        "401": ("401 Unauthorized", {"error": {"code": "invalid_api_key", "message": "sk-secret"}}, ""),
        "quota": ("429 Too Many Requests", {"error": {"code": "insufficient_quota"}}, ""),
        "400": ("400 Bad Request", {"error": {"code": "content_policy"}}, ""),
        "no_schema": ("200 OK", completion("Sure! Here is what you asked for."), ""),
        "cut_json": ("200 OK", completion('{"text": "half a', "length"), ""),
        "no_usage": ("200 OK", {"choices": [{"message": {"content": '{"n":1}'}}]}, ""),
        "filtered": ("200 OK", completion("", "content_filter"), ""),
        "empty": ("200 OK", completion(""), ""),
        "deep": ("200 OK", completion("[" * 5000 + "]" * 5000), ""),
        "no_choices": ("200 OK", {"choices": []}, ""),
        "a list": ("200 OK", [1, 2], ""),
        "echo": ("200 OK", completion('{"text": "as it was said", "n": 1}'), ""),
    }
    if fault == "garbage":
        return b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html>\x00\xff\xfe{}."
    if fault == "no http":
        return b"\x16\x03\x01 this is no HTTP at all\r\n\r\n"
    if fault not in errors:
        return None
    return _http(*errors[fault])


def _http(status: str, said: object, more: str = "") -> bytes:
    raw = json.dumps(said).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {len(raw)}\r\n\r\n"
    return head.encode() + raw


def completion(text: str, ended: str = "stop") -> dict[str, object]:
    """What an endpoint says."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    return {"choices": [{"message": {"content": text}, "finish_reason": ended}], "usage": usage}


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of one HTTP message with a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    return head, await reader.readexactly(int(fields.get(b"content-length", b"0")))


if (
    __name__ == "__main__"
):  # python -m tests.faulty ADDRESS SECONDS: says its own address, serves till stdin ends
    import sys

    with Proxy(sys.argv[1], latency=float(sys.argv[2])) as running:
        print(running.address, flush=True)
        sys.stdin.read()
