"""Five hundred of the malformed bodies of benchmarks/service_bodies.py: each is answered, none by 500."""

import importlib
import sys
from pathlib import Path

from tests.serve.world import Running

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_malformed_bodies_are_answered(texts: Running) -> None:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        bodies = importlib.import_module("service_bodies").bodies
    finally:
        sys.path.pop(0)
    # From the 426th on, nesting too deep for a JSON reader is among them.
    found = bodies(int(texts.url.rpartition(":")[2]), 500)
    assert not found["wrong"]
    assert sum(found["statuses"].values()) == 500
    assert set(found["statuses"]) <= {"200", "403", "404", "413", "415", "422"}
    assert len(found["reasons"]) > 10
    assert texts.http.get("/health").json()["ok"]
