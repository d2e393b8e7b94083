"""10,000 malformed bodies and schemathesis find no answer 500 and no hang.

    python benchmarks/service_bodies.py [--out docs/results/service_bodies] [--bodies 10000] [--st PROGRAM]

Bodies are made from good ones, seeded: bytes flipped, cut, doubled or put in, JSON values in the place of
others, deep nesting, odd encodings, odd headers; for texts, tables' kinds of values and feedback. Each has to
be answered within 10 s by 200 or a 4xx that says what was wrong. Schemathesis (its command line, `st`, if it
is installed; --st says where) makes requests from the OpenAPI description, and holds the answers against it.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from service_load import load_average, project, service

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 1e308, 10**30, 2**63, "", " ", "a", "카드", "👍🏽", "\x00", "\ufeff"),
    *([], {}, [[]], [None], {"text": "a"}, {"rows": []}, [{"text": "a"}]),
    *("NaN", "../../etc/passwd", "<script>", "ㅋ" * 500, "a" * 200_001),
]
SNIPPETS = [
    b"\xff",
    b"\x00",
    b"NaN",
    b"Infinity",
    b"{",
    b"[",
    b'"',
    b"\\u",
    b"\\ud800",
    b"1e999",
    b"\xef\xbb\xbf",
]
TYPES = ["application/json", "", "text/plain", "application/xml", "image/png", "x" * 500]


def good(rng: random.Random) -> tuple[str, Any]:
    """A path and a body as they should be."""
    kind = rng.randrange(3)
    if kind == 0:
        return "/predict", {"text": "where is my card", "key": "me"}
    if kind == 1:
        return "/predict", {"rows": [{"text": f"카드 {i}"} for i in range(rng.randrange(1, 4))]}
    request = f"{rng.getrandbits(108):027x}-{rng.getrandbits(64):016x}"
    said = {"request": request, "correction": "card", "thumbs": 1, "out_of_scope": False}
    return "/feedback", said | {"comment": "c", "by": "b"}


def swapped(value: Any, rng: random.Random) -> Any:
    """The value with one of its parts put in the place of another, or gone."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        name = rng.choice(list(value))
        rest = {k: v for k, v in value.items() if k != name}
        return rest if rng.random() < 0.2 else {**rest, name: swapped(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        return [*value[:at], swapped(value[at], rng), *value[at + 1 :]]
    return rng.choice(VALUES)


def spoilt(body: bytes, rng: random.Random) -> bytes:
    """The bytes flipped, cut, doubled, or with something put in."""
    at = rng.randrange(len(body) + 1)
    way = rng.randrange(6)
    if way == 0 and body:
        at = min(at, len(body) - 1)
        return body[:at] + bytes([body[at] ^ (1 << rng.randrange(8))]) + body[at + 1 :]
    if way == 1:
        return body[:at]
    if way == 2:
        return body[:at] + body
    if way == 3:
        return body[:at] + rng.choice(SNIPPETS) + body[at:]
    if way == 4:
        deep = rng.choice([10, 1000, 100_000])
        return body[:at] + b"[" * deep + body[at:]
    return rng.randbytes(rng.randrange(300))


def malformed(rng: random.Random) -> tuple[str, bytes, dict[str, str]]:
    path, value = good(rng)
    if rng.random() < 0.6:
        value = swapped(value, rng)
    body = json.dumps(value, ensure_ascii=rng.random() < 0.3).encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        body = spoilt(body, rng)
    if rng.random() < 0.1:
        body = body.decode("utf-8", "replace").encode(rng.choice(["cp949", "utf-16", "utf-7"]), "replace")
    headers = {"content-type": rng.choice(TYPES) if rng.random() < 0.2 else TYPES[0]}
    if rng.random() < 0.05:
        headers["origin"] = "http://elsewhere.example"
    if rng.random() < 0.05:
        headers["x-client"] = "x" * 2000
    return path, body, headers


def bodies(port: int, count: int) -> dict[str, Any]:
    rng = random.Random(9)
    statuses: collections.Counter[str] = collections.Counter()
    keys: collections.Counter[str] = collections.Counter()
    wrong, slowest = [], 0.0
    to = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for i in range(count):
        path, body, headers = malformed(rng)
        begun = time.perf_counter()
        try:
            to.request("POST", path, body, headers)
            got = to.getresponse()
            said = got.read()
        except (OSError, http.client.HTTPException) as why:
            wrong.append(f"{i}: {why!r} {body[:60]!r}")
            to.close()
            continue
        slowest = max(slowest, time.perf_counter() - begun)
        statuses[str(got.status)] += 1
        error = json.loads(said).get("error") if got.status != 200 else None
        if got.status >= 500 or (error is not None and not error.get("what")):
            wrong.append(f"{i}: {got.status} {said[:100]!r} {body[:60]!r}")
        if error is not None:
            keys[error["key"]] += 1
    to.close()
    return {
        "bodies": count,
        "statuses": dict(sorted(statuses.items())),
        "reasons": dict(keys.most_common()),
        "wrong": wrong[:20],
        "slowest": slowest,
    }


def schemathesis(port: int, program: str | None) -> dict[str, Any] | None:
    """What schemathesis found; None where it is not installed."""
    if program is None:
        return None
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [program, "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", checks]
    command += ["--max-examples", "200", "--seed", "1", "--request-timeout", "10", "--no-color"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    summary = said[said.rfind("SUMMARY") :] if "SUMMARY" in said else said
    plain = [re.sub(r"\s+", " ", line).strip(" =_") for line in summary.splitlines()]
    return {"status": done.returncode, "said": [line for line in plain if line][:40], "all": said[-4000:]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results/service_bodies"))
    parser.add_argument("--bodies", type=int, default=10_000)
    parser.add_argument("--st", default=shutil.which("st"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = project(Path(place), "banking77")
        with service(root) as (process, port):
            said = bodies(port, args.bodies)
            found = schemathesis(port, args.st)
            said["alive"] = process.poll() is None
    said["load"] = load_average()
    said["schemathesis"] = None if found is None else {k: found[k] for k in ("status", "said")}
    body = [
        "# Malformed bodies",
        "",
        f"`python benchmarks/service_bodies.py --bodies {args.bodies}`",
        "",
        (__doc__ or "").split("\n\n")[2].strip(),
        "",
        f"{said['bodies']:,} bodies; answers 500, without a reason, or none within 10 s:"
        f" **{len(said['wrong'])}**. The slowest took {said['slowest']:.2f} s (load {said['load']:.1f}).",
        "",
        "| status | answers |",
        "|---|---|",
        *(f"| {status} | {count:,} |" for status, count in said["statuses"].items()),
        "",
        "| reason | answers |",
        "|---|---|",
        *(f"| {key} | {count:,} |" for key, count in said["reasons"].items()),
        "",
        "## schemathesis",
        "",
    ]
    body += ["Not installed."] if found is None else ["```text", *said["schemathesis"]["said"], "```"]
    args.out.with_suffix(".md").write_text("\n".join(body) + "\n", "utf-8")
    args.out.with_suffix(".json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print("\n".join(body))
    if found is not None and found["status"]:
        print(found["all"])
    return int(bool(said["wrong"]) or not said["alive"] or (found is not None and found["status"] != 0))


if __name__ == "__main__":
    raise SystemExit(main())
