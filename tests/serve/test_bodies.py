"""A few hundred of the malformed bodies of benchmarks/service_bodies.py: each is answered, none by 500."""

import importlib
import sys
from pathlib import Path

from tests.serve.world import copied, serving

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_malformed_bodies_are_answered(text: Path, tmp_path: Path) -> None:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        bodies = importlib.import_module("service_bodies").bodies
    finally:
        sys.path.pop(0)
    with serving(copied(text, tmp_path / "text")) as running:
        found = bodies(int(running.url.rpartition(":")[2]), 400)
        assert not found["wrong"]
        assert sum(found["statuses"].values()) == 400
        assert set(found["statuses"]) <= {"200", "403", "404", "413", "415", "422"}
        assert len(found["reasons"]) > 10
        assert running.http.get("/health").json()["ok"]
