"""What Hugging Face `datasets` finds in an export, as digests; runs in a venv that has no bapsim.

    VENV/bin/python benchmarks/load_export.py FOLDER COLUMN...

Prints one JSON object: rows and digest of these columns for every split of every configuration. Every attempt
to reach a network ends the program.
"""

import hashlib
import json
import math
import os
import socket
import sys
import tempfile
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def plain(value: Any) -> Any:
    """A value that JSON can hold: bytes as their digest, nan as a word."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def digest(rows: list[dict[str, Any]]) -> str:
    """One digest of rows in any order, in which every cell counts."""
    lines = sorted(json.dumps({k: plain(v) for k, v in row.items()}, sort_keys=True) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def no_network(*_: object) -> None:
    sys.exit("it tried to reach a network")


def main(folder: str, columns: list[str]) -> None:
    import datasets

    datasets.disable_progress_bars()
    splits: dict[str, Any] = {}
    pictures = 0
    with tempfile.TemporaryDirectory() as cache:
        for config in datasets.get_dataset_config_names(folder):
            for split, data in datasets.load_dataset(folder, config, cache_dir=cache).items():
                kept = data.select_columns(columns)
                for name in [n for n in columns if isinstance(data.features[n], datasets.Image)]:
                    pictures += sum(one is not None and one.size[0] > 0 for one in data[name])
                    bodies = data.cast_column(name, datasets.Image(decode=False))[name]
                    kept = kept.remove_columns(name).add_column(
                        name, [one and one["bytes"] for one in bodies]
                    )
                splits[f"{config}/{split}"] = {"rows": len(kept), "sha256": digest(list(kept))}
    print(json.dumps({"datasets": datasets.__version__, "splits": splits, "pictures": pictures}))


if __name__ == "__main__":
    socket.socket.connect = no_network  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = no_network  # type: ignore[assignment]
    main(sys.argv[1], sys.argv[2:])
