"""Where a wheel stands: the day by which terms are decided is that on which the turn began."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bapsim.store.project import opened
from bapsim.wheel import state
from tests.wheel.world import bank, founded


def test_a_turn_has_the_day_on_which_it_began_also_when_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = founded(tmp_path / "p")
    with opened(root) as project:
        monkeypatch.setattr(state, "now", lambda: "2026-12-31T23:59:59.999+00:00")
        assert state.begin(project, bank()).day == "2026-12-31"
    monkeypatch.undo()
    with opened(root) as project:
        assert state.begin(project, bank()).day == "2026-12-31", "killed over midnight, gone on with"
        assert state.begin(project, bank(seed=1)).day == "2026-12-31", "also under another recipe"
        before = datetime.now(UTC).date().isoformat()
        day = state.state(project, bank(), 2).day
        assert before <= day <= datetime.now(UTC).date().isoformat(), "one that nobody began, today"
