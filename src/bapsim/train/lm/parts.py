"""The packages that language models need, or what installs them."""

from __future__ import annotations

import importlib
import os
from typing import Any

from bapsim.core.errors import MissingExtra


def part(name: str) -> Any:
    """A package of the extra [lm] by its name; MissingExtra says which command installs it."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a hub is asked for nothing, unless its user says 0
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra("missing_lm", package=name) from error
