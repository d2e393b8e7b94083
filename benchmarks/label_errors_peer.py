"""What cleanlab says of the same probabilities; runs in a venv that has no bapsim.

    VENV/bin/python benchmarks/label_errors_peer.py FOLDER

Reads FOLDER/*.npz (labels int[n], probs float[n, k]) and writes beside each a .peer.npz with its rankings
(higher = more suspect), what its filters flag, and the share of wrong labels by its estimated joint.
"""

import logging
import sys
import warnings
from pathlib import Path

import numpy as np
from cleanlab.count import estimate_joint
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
FILTERS = (
    "both",
    "prune_by_class",
    "prune_by_noise_rate",
    "confident_learning",
    "predicted_neq_given",
    "low_self_confidence",
    "low_normalized_margin",
)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        if path.name.endswith(".peer.npz"):
            continue
        with np.load(path) as file:
            labels, probs = file["labels"], file["probs"].astype(np.float64)
        probs = np.maximum(probs, 1e-12)
        probs /= probs.sum(axis=1, keepdims=True)
        found = {"rate": 1 - float(np.trace(estimate_joint(labels, probs)))}
        for method in RANKINGS:
            found[f"rank_{method}"] = -get_label_quality_scores(labels, probs, method=method)
        for method in FILTERS:
            found[f"flag_{method}"] = find_label_issues(labels, probs, filter_by=method, n_jobs=1)
        np.savez(path.with_suffix(".peer.npz"), **found)


if __name__ == "__main__":
    main()
