"""Many requests to one endpoint, at most so many in flight, each paid once: the driver.

One loop decides, in this order: what arrived is settled and what leaves next is written down in one
transaction, then it leaves. So a kill leaves at most `concurrency` requests in doubt, and what is finished is
on the tape before anything takes its place.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bapsim.gather.completion import LIMIT, Reply, judged
from bapsim.gather.endpoint import MILLION, Endpoint, Request, body_of
from bapsim.mods import Money
from bapsim.store import fault
from bapsim.store.machine_tape import ANSWERED, OPEN, REFUSED, Intent, MachineTape, Said

WINDOW = 60.0  # seconds of `per_minute`
LONGEST = 30.0  # seconds between two tries, unless the server asks for more
_STATES = {"answered": ANSWERED, "refused": REFUSED}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one request: a text, or a reason; taped: it had been asked in an earlier run."""

    text: str | None = None
    reason: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cost: int = 0
    taped: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Outcomes in the order of the requests, and what it took.

    sent: HTTP requests; paid, held: millionths of a minor unit under the tape's purpose, ever: what was
    paid, and what may have been (cut streams, kills).
    """

    outcomes: tuple[Outcome, ...]
    sent: int
    paid: int
    held: int

    @property
    def refused(self) -> dict[str, int]:
        """How many have no text, by reason; with the answered ones they are all."""
        return dict(Counter(one.reason for one in self.outcomes if one.text is None))

    @property
    def answered(self) -> int:
        return sum(one.text is not None for one in self.outcomes)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What asking would take at most, before anything is spent; retries after a cut answer come on top,
    within the ceiling.

    requests: all, of which `taped` are finished and `doubtful` were in flight at a kill; tokens_in,
    tokens_out, money: of those that would leave, at most; left: what the ceiling still allows, None without
    one; minutes: at least, by `per_minute`.
    """

    requests: int
    taped: int
    doubtful: int
    tokens_in: int
    tokens_out: int
    money: Money | None
    left: Money | None
    minutes: float


def preview(endpoint: Endpoint, requests: Sequence[Request], tape: MachineTape | None = None) -> Preview:
    """Count, without asking anything."""
    stem, seen = endpoint.stem(), set()
    taped = doubtful = tokens_in = tokens_out = leave = 0
    for request in requests:
        key, body = body_of(stem, request, endpoint.seed)
        known = tape.known(key, request.sample) if tape else None
        taped += known is not None and known.finished
        doubtful += known is not None and known.state == "asked"
        if (key, request.sample) in seen or (known and known.finished):
            continue
        seen.add((key, request.sample))
        leave += 1
        most = endpoint.worst(body)
        tokens_in, tokens_out = tokens_in + most[0], tokens_out + most[1]
    cost, price, ceiling = endpoint.cost(tokens_in, tokens_out), endpoint.price, endpoint.ceiling
    gone = 0 if tape is None else sum(_spent(endpoint, tape)) // MILLION
    return Preview(
        requests=len(requests),
        taped=taped,
        doubtful=doubtful,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        money=Money(minor=-(-cost // MILLION), currency=price.reads.currency) if price else None,
        left=ceiling and Money(minor=max(ceiling.minor - gone, 0), currency=ceiling.currency),
        minutes=max(leave - 1, 0) // endpoint.per_minute if endpoint.per_minute else 0.0,
    )


def ask(endpoint: Endpoint, requests: Sequence[Request], tape: MachineTape | None = None) -> Asked:
    """Ask what the tape does not have; returns when every request has an outcome.

    Finished ones are answered from the tape. Reasons of those without a text: cut_off, filtered, declined,
    empty, not_text, not_json, not_by_schema, too_big, http_4xx (finished, never asked again); timeout,
    cut_stream, not_a_completion, http_5xx, http_429 (after all tries; asked again by the next run); ceiling,
    http_401 and the like, insufficient_quota, busy, unreachable (never left). Raises InputError for a key
    that is not there. Without a tape nothing outlives the call.
    """
    own = MachineTape(Path(":memory:")) if tape is None else tape
    try:
        driver = _Driver(endpoint, own, endpoint.header())
        jobs = driver.load(requests)
        if driver.waiting:
            _run(driver.drive)
        paid, held = _spent(endpoint, own)
        return Asked(outcomes=tuple(job.outcome for job in jobs), sent=driver.sent, paid=paid, held=held)
    finally:
        if tape is None:
            own.close()


def _currency(endpoint: Endpoint) -> str:
    return endpoint.price.reads.currency if endpoint.price else ""


def _spent(endpoint: Endpoint, tape: MachineTape) -> tuple[int, int]:
    """Paid and held under the tape's purpose, in the endpoint's currency."""
    one = tape.spent().get(_currency(endpoint))
    return (one.paid, one.held) if one else (0, 0)


def _run(main: Callable[[], Any]) -> None:
    """Run a coroutine in a loop of its own, also where a loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(main())
        return
    with ThreadPoolExecutor(1) as other:
        other.submit(lambda: asyncio.run(main())).result()


@dataclass(eq=False)
class _Job:
    key: str
    request: Request
    body: bytes
    held: int
    tries: int = 0
    last: str = ""
    outcome: Outcome = field(default_factory=Outcome)


class _Driver:
    def __init__(self, endpoint: Endpoint, tape: MachineTape, header: dict[str, str]) -> None:
        self.to, self.tape, self.header = endpoint, tape, header
        self.waiting: deque[_Job] = deque()
        self.later: list[tuple[float, int, _Job]] = []
        self.landed: list[tuple[_Job, Reply]] = []
        self.flying: set[asyncio.Task[None]] = set()
        self.left: deque[float] = deque()  # when the last requests left
        self.used = sum(_spent(endpoint, tape))
        self.limit = endpoint.ceiling.minor * MILLION if endpoint.ceiling else None
        self.sent = self.lost = 0
        self.pause = 0.0
        self.stopped = ""
        self.rng = random.Random()  # noqa: S311  jitter is no secret

    def load(self, requests: Sequence[Request]) -> list[_Job]:
        """One job for each request, the same one for the same request."""
        stem = self.to.stem()
        jobs: dict[tuple[str, int], _Job] = {}
        found = []
        for request in requests:
            key, body = body_of(stem, request, self.to.seed)
            job = jobs.get((key, request.sample))
            if job is None:
                job = jobs[key, request.sample] = _Job(key, request, body, self.to.cost(*self.to.worst(body)))
                known = self.tape.known(key, request.sample)
                if known is not None and known.finished:
                    job.outcome = _outcome(known, taped=True)
                else:
                    self.waiting.append(job)
            found.append(job)
        return found

    async def drive(self) -> None:
        import httpx

        self.http, self.wake = httpx, asyncio.Event()
        self.url = httpx.URL(f"{self.to.url.rstrip('/')}/chat/completions")
        self.head = {"host": self.url.netloc.decode(), **self.header}
        patience = httpx.Timeout(self.to.timeout, pool=None).as_dict()
        self.extensions = {"timeout": patience}
        # A connection for each that may be in flight: a common pool looks through all at each request.
        context = self.url.scheme == "https" and httpx.create_ssl_context(trust_env=False)
        one = httpx.Limits(max_connections=1, max_keepalive_connections=1)
        self.lines = [
            httpx.AsyncHTTPTransport(verify=context, limits=one) for _ in range(self.to.concurrency)
        ]
        every = tuple(self.lines)
        try:
            while self._turn():
                await self.wake.wait()
                self.wake.clear()
        finally:
            for task in self.flying:
                task.cancel()
            await asyncio.gather(*self.flying, return_exceptions=True)
            await asyncio.gather(*(line.aclose() for line in every))

    def _turn(self) -> bool:
        """Settle what landed, let go what may leave; false when nothing is left to wait for."""
        landed, self.landed = self.landed, []
        settled = [(job, *self._weighed(job, reply)) for job, reply in landed]
        leaving = self._due()
        if settled or leaving:
            if settled:
                fault.point("machine answers arrived")
            with self.tape.change("machine answers and intents"):
                for job, said, freed in settled:
                    self.tape.settle(job.key, job.request.sample, said, freed)
                for job in leaving:
                    self.tape.leave(self._intent(job))
        for job in leaving:
            self.sent += 1
            task = asyncio.create_task(self._send(job))
            self.flying.add(task)
            task.add_done_callback(self.flying.discard)
        return bool(self.waiting or self.later or self._in_flight())

    def _in_flight(self) -> int:
        return len(self.flying)

    def _intent(self, job: _Job) -> Intent:
        return Intent(
            key=job.key,
            sample=job.request.sample,
            model=self.to.model,
            held=job.held,
            currency=_currency(self.to),
            made_from=job.request.made_from,
        )

    # ------------------------------------------------------------ what may leave

    def _due(self) -> list[_Job]:
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            self.waiting.appendleft(heapq.heappop(self.later)[2])
        if self.stopped:
            self._give_up(self.stopped)
        found: list[_Job] = []
        free = self.to.concurrency - self._in_flight()
        while self.waiting and len(found) < free:
            ready = self._ready(now)
            if ready > now:
                self._wake_at(ready)
                return found
            job = self.waiting.popleft()
            if self.limit is not None and self.used + job.held > self.limit:
                if found or self._in_flight():  # what is reserved for these may come free
                    self.waiting.appendleft(job)
                    return found
                job.outcome = Outcome(reason="ceiling")
                continue
            self.used += job.held
            self.left.append(now)
            found.append(job)
        if self.later:
            self._wake_at(self.later[0][0])
        return found

    def _ready(self, now: float) -> float:
        """When the next request may leave, by the server's wish and by our own rate."""
        if self.to.per_minute is None:
            return self.pause
        while self.left and self.left[0] <= now - WINDOW:
            self.left.popleft()
        full = len(self.left) >= self.to.per_minute
        return max(self.pause, self.left[-self.to.per_minute] + WINDOW if full else 0.0)

    def _wake_at(self, when: float) -> None:
        asyncio.get_running_loop().call_later(max(when - time.monotonic(), 0.0) + 0.001, self.wake.set)

    def _give_up(self, reason: str) -> None:
        for job in [*self.waiting, *(entry[2] for entry in self.later)]:
            job.outcome = Outcome(reason=reason)
        self.waiting.clear()
        self.later.clear()

    # ------------------------------------------------------------ what arrived

    async def _send(self, job: _Job) -> None:
        line = self.lines.pop()
        try:
            async with asyncio.timeout(self.to.timeout):
                reply = await self._exchange(job, line)
        except (TimeoutError, self.http.TimeoutException):
            reply = Reply(kind="again", reason="timeout")
        except self.http.ConnectError:
            reply = Reply(kind="again", reason="no_connection", billed=False)
        except (self.http.HTTPError, self.http.StreamError, OSError):
            reply = Reply(kind="again", reason="cut_stream")
        finally:
            self.lines.append(line)
        self.landed.append((job, reply))
        self.flying.discard(asyncio.current_task())
        self.wake.set()

    async def _exchange(self, job: _Job, line: Any) -> Reply:
        head = {**self.head, "content-length": str(len(job.body))}
        request = self.http.Request(
            "POST", self.url, headers=head, content=job.body, extensions=self.extensions
        )
        answer = await line.handle_async_request(request)
        try:
            raw = b""
            async for chunk in answer.stream:
                raw += chunk
                if len(raw) > LIMIT:
                    break
        finally:
            await answer.aclose()
        return judged(self.to, answer.status_code, answer.headers, raw)

    def _weighed(self, job: _Job, reply: Reply) -> tuple[Said, int]:
        """What goes onto the tape for one reply, and what is no longer held; the job goes on or is done."""
        if reply.kind in _STATES:
            self.lost = 0
            tokens = reply.tokens or self.to.worst(job.body)
            cost = self.to.cost(*tokens) if reply.billed else 0
            body = None if reply.text is None else reply.text.encode()
            names = {"tokens_in": tokens[0], "tokens_out": tokens[1], "cost": cost}
            said = Said(state=_STATES[reply.kind], body=body, reason=reply.reason, **names)
            job.outcome = _outcome(said, taped=False)
            self.used += cost - job.held
            return said, job.held
        freed = 0 if reply.billed else job.held
        self.used -= freed
        self._again(job, reply)
        return Said(state=OPEN, reason=reply.reason), freed

    def _again(self, job: _Job, reply: Reply) -> None:
        """Another try later, or none."""
        job.tries, job.last = job.tries + 1, reply.reason
        wait = min(self.to.backoff * 2 ** (job.tries - 1), LONGEST) * self.rng.uniform(0.5, 1.0)
        if reply.kind == "stop" or (reply.after or 0.0) > self.to.patience:
            self.stopped = reply.reason if reply.kind == "stop" else "busy"
            job.outcome = Outcome(reason=self.stopped)
        elif job.tries > self.to.retries:
            job.outcome = Outcome(reason=reply.reason)
            self.lost += 1
            if self.lost >= max(self.to.concurrency, 4):
                self.stopped = "unreachable"
        else:
            due = time.monotonic() + max(wait, reply.after or 0.0)
            if reply.after:
                self.pause = max(self.pause, time.monotonic() + reply.after)
            heapq.heappush(self.later, (due, id(job), job))


def _outcome(said: Said, *, taped: bool) -> Outcome:
    text = said.body.decode() if said.state == ANSWERED and said.body is not None else None
    tokens = {"tokens_in": said.tokens_in, "tokens_out": said.tokens_out}
    return Outcome(text=text, reason=said.reason, cost=said.cost, taped=taped, **tokens)
