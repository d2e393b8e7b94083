"""Scores answers with reasoning-gym's own scorers; runs in a venv that has no bapsim.

    VENV/bin/python benchmarks/verifiers_gym.py [names | items NAME COUNT SEED | score]

`names` prints what can be made; `items` prints one JSON line for each item of a data set (question, answer);
`score` reads lines of [name, count, seed, item, answer] and answers each with its score, or null where the
scorer raised or took longer than a second (of CPU). What scorers print goes nowhere.
"""

import contextlib
import io
import json
import os
import random
import signal
import sys
import warnings

warnings.simplefilter("ignore")
OUT = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

import reasoning_gym  # noqa: E402  after its output has nowhere to go
from reasoning_gym.factory import DATASETS  # noqa: E402

MADE: dict = {}


class Late(BaseException):
    """A second of CPU time is over."""


def late(*_) -> None:
    raise Late


def made(name: str, count: int, seed: int) -> list:
    """The data set and its items, made once."""
    if (name, count, seed) not in MADE:
        random.seed(seed)
        data = reasoning_gym.create_dataset(name, size=count, seed=seed)
        MADE[name, count, seed] = (data, [data[i] for i in range(count)])
    return MADE[name, count, seed]


def scored(name: str, count: int, seed: int, item: int, answer: str) -> float | None:
    data, items = made(name, count, seed)
    signal.setitimer(signal.ITIMER_PROF, 1.0)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return float(data.score_answer(answer, items[item]))
    except (Exception, Late):  # noqa: BLE001  whatever a scorer raises
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    signal.signal(signal.SIGPROF, late)
    if sys.argv[1] == "names":
        print(json.dumps(sorted(DATASETS)), file=OUT)
        return
    for line in sys.stdin:
        asked = json.loads(line)
        if asked[0] == "items":
            signal.setitimer(signal.ITIMER_PROF, asked[4])
            try:
                _, items = made(*asked[1:4])
                said = [[one["question"], one["answer"]] for one in items]
            except (Exception, Late):  # noqa: BLE001  or who makes its items
                said = None
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        else:
            said = scored(*asked)
        print(json.dumps(said), file=OUT)


main()  # never imported: a program for another interpreter
