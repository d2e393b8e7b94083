"""Three hundred of the malformed bodies of benchmarks/service_bodies.py: each is answered, none by 500."""

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
    found = bodies(int(texts.url.rpartition(":")[2]), 300)
    assert not found["wrong"]
    assert sum(found["statuses"].values()) == 300
    assert set(found["statuses"]) <= {"200", "403", "404", "413", "415", "422"}
    assert len(found["reasons"]) > 10
    assert texts.http.get("/health").json()["ok"]
