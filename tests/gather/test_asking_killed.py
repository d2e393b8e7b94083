"""A driver that is killed anywhere asks for nothing twice that it had finished, and says what is in doubt."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp")
pytest.importorskip("gguf")

from bapsim.store.machine_tape import MachineTape
from tests.faulty import Proxy
from tests.llama import serving, write_model

COUNT, FLYING = 14, 3
ROOT = Path(__file__).resolve().parents[2]


def run(address: str, tape: Path, fault: int | None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("BAPSIM_FAULT")}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "src"), env.get("PYTHONPATH", "")])
    if fault is not None:
        env["BAPSIM_FAULT"] = str(fault)
    call = [sys.executable, "-m", "tests.gather.asker", address, str(tape), str(COUNT), str(FLYING)]
    return subprocess.run(call, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
def test_killed_at_any_step(tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    write_model(model)
    with serving(model) as real:
        for kills in ([2, 3], [5], [8, 1, 4]):
            tape = tmp_path / "-".join(map(str, kills)) / "machine.sqlite"
            with Proxy(real, latency=0.003) as proxy:
                doubts = 0
                for at in kills:
                    assert run(proxy.address, tape, at).returncode == -9
                    left = MachineTape(tape)
                    assert len(left.in_doubt()) <= FLYING
                    doubts += len(left.in_doubt())
                    finished = left.counts().get("answered", 0)
                    left.close()
                    before = sum(proxy.asked.values())
                end = run(proxy.address, tape, None)
            assert end.returncode == 0, end.stderr
            assert end.stdout.splitlines()[-1] == f"done {COUNT} {COUNT - finished}"
            assert sum(proxy.asked.values()) - before == COUNT - finished  # none that was finished
            assert sum(proxy.asked.values()) <= COUNT + doubts
            whole = MachineTape(tape)
            assert whole.counts() == {"answered": COUNT}
            assert whole.in_doubt() == []
            whole.close()
