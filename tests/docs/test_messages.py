"""Every error that the code can raise has its words, in both languages."""

import re
from pathlib import Path

from bapsim.core.errors import messages

SOURCE = Path(__file__).resolve().parents[2] / "src" / "bapsim"
RAISED = re.compile(r"(?:Input|Store|Recipe|Exchange)Error\(\s*\"([a-z_0-9]+)\"")
REFUSED = re.compile(r"(?:Refused\(\s*\d+,|\bbad\()\s*\"([a-z_0-9]+)\"")


def test_every_error_has_words() -> None:
    known = messages()
    bare = []
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text("utf-8")
        wanted = [f"error.{key}" for key in RAISED.findall(text)]
        wanted += [f"error.refused_{key}" for key in REFUSED.findall(text)]
        bare += [f"{path.relative_to(SOURCE)}: {key}" for key in wanted if key not in known]
    assert not bare
