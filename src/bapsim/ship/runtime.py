"""A shipped model without bapsim: text features in numpy, the head in ONNX Runtime or in numpy.

    python bapsim_runtime.py MODEL_FOLDER < TEXTS          one text a line, one JSON answer a line
    python bapsim_runtime.py --json MODEL_FOLDER < TEXTS   one JSON string a line: texts with line breaks
    python bapsim_runtime.py MODEL_FOLDER < ROWS           of tables: one JSON object a line, a value a column
    python bapsim_runtime.py MODEL_FOLDER < FILES          of pictures: one path a line
    python bapsim_runtime.py --measure MODEL_FOLDER < TEXTS   latency and memory on this machine, no answers

A line has its answer in its place: {"error": why} where it cannot be read; an empty line is an empty text.
Needs numpy, and onnxruntime where the folder has a head.onnx; pictures need pillow.
The features are those of features.md in the folder, bit for bit; features.c and features.js compute the same.
"""

import contextlib
import importlib.util
import itertools
import json
import re
import resource
import struct
import sys
import time
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Sections of features.bin: a count, then that many words of 4 bytes, little endian.
SECTIONS = (
    *("blanks", "drops", "one", "many", "pairs", "late", "word", "sizes_word", "sizes_char", "limits"),
    *("tf", "share", "known_word", "known_char", "idf", "idf_of"),
)
FLOATS = {"tf": "<f4", "idf": "<f4", "share": "<f8", "idf_of": "<u2", "weights": "<f4", "bias": "<f4"}
REMEMBERED = 100_000  # words whose n-grams are kept: a language has few that are frequent
LONGEST = 24  # characters of what is remembered
WARM, REPEATS = 50, 400  # calls of a measurement
Arrays = tuple[np.ndarray, np.ndarray]


def sections(body: bytes, names: Sequence[str] = SECTIONS) -> dict[str, np.ndarray]:
    """The sections of a features.bin, or the first ones of a head.bin, by name."""
    found, at = {}, 0
    for name in names:
        (count,) = struct.unpack_from("<I", body, at)
        found[name] = np.frombuffer(body[at + 4 : at + 4 + 4 * count], FLOATS.get(name, "<u4"))
        at += 4 + 4 * count
    return found


# --- section 1 of features.md: fold ----------------------------------------------------------------


def _pairs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    return zip(values[::2].tolist(), values[1::2].tolist(), strict=True)


def _spelled(points: Sequence[int]) -> str:
    return "".join(map(chr, points))


class Fold:
    """Texts in one spelling: the same words are the same code points everywhere."""

    def __init__(self, parts: dict[str, np.ndarray]) -> None:
        self.limit = int(parts["limits"][0])
        self.to: dict[int, str | None] = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
        for first, last in _pairs(parts["blanks"]):
            self.to |= dict.fromkeys(range(first, last + 1), " ")
        for first, last in _pairs(parts["drops"]):
            self.to |= dict.fromkeys(range(first, last + 1), None)
        self.to |= {a: chr(b) for a, b in _pairs(parts["one"])}
        many, at = parts["many"].tolist(), 0
        while at < len(many):
            self.to[many[at]] = _spelled(many[at + 2 : at + 2 + many[at + 1]])
            at += 2 + many[at + 1]
        triples = parts["pairs"].reshape(-1, 3).tolist()
        self.pairs = {(a, b): c for a, b, c in triples}
        seconds = sorted({b for _, b, _ in triples} | {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)})
        self.second = re.compile(f"[{re.escape(_spelled(seconds))}]")
        self.late = {a: chr(b) for a, b in _pairs(parts["late"])}
        spans = "".join(f"\\U{a:08x}-\\U{b:08x}" for a, b in _pairs(parts["word"]))
        self.words = re.compile(f"[{spans}]+")

    def __call__(self, text: str | None) -> str:
        said = (text or "")[: self.limit].translate(self.to)
        if self.second.search(said):
            said = self._composed(said).translate(self.late)
        elif not said.isascii():
            said = said.translate(self.late)
        return " ".join([part for part in said.split(" ") if part])

    def _composed(self, said: str) -> str:
        out: list[int] = []
        for point in map(ord, said):
            both = self._composite(out[-1], point) if out else 0
            if both:
                out[-1] = both
            else:
                out.append(point)
        return _spelled(out)

    def _composite(self, base: int, mark: int) -> int:
        lead, vowel, syllable, tail = base - 0x1100, mark - 0x1161, base - 0xAC00, mark - 0x11A7
        if 0 <= lead < 19 and 0 <= vowel < 21:
            return 0xAC00 + (lead * 21 + vowel) * 28
        if 0 <= syllable < 11172 and syllable % 28 == 0 and 0 < tail < 28:
            return base + tail
        return int(self.pairs.get((base, mark), 0))


# --- section 2: n-grams ----------------------------------------------------------------------------


def scrambled(block: int) -> int:
    """What MurmurHash3 makes of a block of 32 bits before it enters the state."""
    k = block * 0xCC9E2D51 & 0xFFFFFFFF
    return (k << 15 | k >> 17) * 0x1B873593 & 0xFFFFFFFF


def murmur(blocks: Sequence[int], seed: int = 0) -> int:
    """MurmurHash3 (x86, 32 bits) of scrambled blocks."""
    h = seed
    for block in blocks:
        h ^= block
        h = ((h << 13 | h >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
    return mixed(h ^ 4 * len(blocks))


def mixed(h: int) -> int:
    """The last steps of MurmurHash3."""
    h = (h ^ h >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    h = (h ^ h >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return h ^ h >> 16


class Remembered(dict[Any, Any]):
    """What a function said of the last things that it was asked about: words come again."""

    def __init__(self, say: Callable[[Any], Any]) -> None:
        super().__init__()
        self.say = say

    def __missing__(self, asked: Any) -> Any:
        if len(self) >= REMEMBERED:
            self.clear()
        self[asked] = said = self.say(asked)
        return said


class Features:
    """Texts as the columns and weights of what a model knows of them.

    A run of characters never crosses a blank, but at its ends, so what stands between two blanks has its
    n-grams by itself, and they are remembered.
    """

    def __init__(self, body: bytes) -> None:
        parts = sections(body)
        self.fold = Fold(parts)
        self.sizes_word, self.sizes_char = parts["sizes_word"].tolist(), parts["sizes_char"].tolist()
        _, self.word_limit, self.tf_limit, self.buckets = parts["limits"].tolist()
        self.tf = np.concatenate([[0], parts["tf"]]).astype(np.float32)
        self.share = float(parts["share"][0])
        self.known = [array("I", parts[name].tobytes()) for name in ("known_word", "known_char")]
        self.idf = parts["idf"][parts["idf_of"][: sum(map(len, self.known))]]
        self.tokens = Remembered(self._token)
        self.runs = Remembered(self._run)
        self.letters = Remembered(lambda letter: scrambled(ord(letter)))
        self.grams = Remembered(self._gram)

    def __call__(self, texts: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """columns int64[n, l], weights float32[n, l] (filled up with 0, l >= 1), coverage float64[n]."""
        columns: list[int] = []
        counts: list[int] = []
        sizes: list[int] = []  # of the word block and the character block of each text
        coverage: list[float] = []
        for text in texts:
            both = self._blocks(text)
            for found in both:
                known = sorted([column for column in found if column >= 0])
                columns += known
                counts += [found[column] for column in known]
                sizes.append(len(known))
            share = sizes[-2] / max(len(both[0]), 1)
            coverage.append(float(bool(both[1])) if self.buckets else share)
        size = np.array(sizes, np.int64)
        group = np.repeat(np.arange(len(size)), size)
        column = np.array(columns, np.int64)
        value = self._weighed(column, np.array(counts, np.int64), group, len(size))
        if len(texts) == 1:
            return *_one_row(column, value), np.array(coverage)
        width = size[::2] + size[1::2]
        row = group >> 1
        at = np.arange(len(column)) - (np.cumsum(width) - width)[row]
        padded = np.zeros((len(texts), max(int(width.max(initial=0)), 1)), np.int64)
        values = np.zeros(padded.shape, np.float32)
        padded[row, at], values[row, at] = column, value
        return padded, values, np.array(coverage)

    def _blocks(self, text: str | None) -> tuple[Counter[int], Counter[int]]:
        """How often each column of the two blocks occurs; what is not known has a number below 0."""
        single: list[int] = []
        characters: list[int] = []
        for token in self.fold(text).split(" "):
            words, grams = self.tokens[token] if len(token) <= LONGEST else self._token(token)
            single += words
            characters += grams
        runs = [tuple(single[i : i + n]) for n in self.sizes_word for i in range(len(single) - n + 1)]
        return Counter([self.runs[run] for run in runs]), Counter(characters)

    def _token(self, token: str) -> tuple[list[int], list[int]]:
        """The hashes of the words in what stands between two blanks, and the columns of its characters."""
        words = self.fold.words.findall(token)
        single = [self._hashed(word[: self.word_limit]) for word in words]
        between = f" {token} "
        grams = []
        for n in self.sizes_char:
            some = token if n == 1 else between
            grams += [self.grams[some[i : i + n]] for i in range(len(some) - n + 1)] if token else []
        return single, grams

    def _hashed(self, letters: str) -> int:
        known, h = self.letters, 0
        for letter in letters:  # murmur, without a list: most of a long text's time is spent here
            h ^= known[letter]
            h = ((h << 13 | h >> 19) & 0xFFFFFFFF) * 5 + 0xE6546B64 & 0xFFFFFFFF
        return mixed(h ^ 4 * len(letters))

    def _gram(self, letters: str) -> int:
        return self._column(1, self._hashed(letters))

    def _run(self, run: tuple[int, ...]) -> int:
        n = len(run)
        return self._column(0, run[0] if n == 1 else murmur([scrambled(one) for one in run], n))

    def _column(self, block: int, hashed: int) -> int:
        """Of a student: words by the lowest bits of their hashes, characters by the highest."""
        if self.buckets:
            bits = int(self.buckets).bit_length() - 1
            return hashed >> 32 - bits if block else hashed & (1 << bits) - 1
        known = self.known[block]
        at = bisect_left(known, hashed)
        if at < len(known) and known[at] == hashed:
            return at + block * len(self.known[0])
        return -1 - hashed

    # --- section 3: weights

    def _weighed(self, column: np.ndarray, count: np.ndarray, group: np.ndarray, n: int) -> np.ndarray:
        """float32 weights of the entries of n groups: blocks of texts, the word block first."""
        value = self.tf[np.minimum(count, self.tf_limit)]
        if not self.buckets:
            value *= self.idf[column]
        square = np.bincount(group, value.astype(np.float64) ** 2, n)
        length = np.ones(n)
        length[::2] = self.share
        scale = (length / np.sqrt(np.where(square > 0, square, 1.0))).astype(np.float32)
        return np.asarray(value * scale[group])


def _one_row(column: np.ndarray, value: np.ndarray) -> Arrays:
    if not len(column):
        return np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)
    return column[None], value[None]


# --- sections 4 and 6: heads -----------------------------------------------------------------------


def _interp(x: np.ndarray, at: Sequence[float], to: Sequence[float]) -> np.ndarray:
    return np.interp(x, at, to) if len(at) else x


class Head:
    """The head in numpy, for folders without head.onnx: the same sums in float64."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        parts = sections((folder / "head.bin").read_bytes(), ("weights", "bias"))
        self.bias = parts["bias"].astype(np.float64)
        self.weights = parts["weights"].reshape(-1, len(self.bias))
        self.about, self.said = about, about["calibration"]

    def __call__(self, columns: np.ndarray, values: np.ndarray, coverage: np.ndarray) -> list[np.ndarray]:
        rows = [self.weights[c].astype(np.float64).T @ v for c, v in zip(columns, values, strict=True)]
        score = np.array(rows).reshape(len(columns), -1) + self.bias
        known = np.asarray(values.any(axis=1))
        told = getattr(self, "_" + self.about["answer"])(score, known, coverage)
        scope = self._scope(told.pop(), known)
        return [*told, scope]

    def _class(self, score: np.ndarray, known: np.ndarray, coverage: np.ndarray) -> list[np.ndarray]:
        c, prior = self.said, np.array(self.about["prior"])
        e = c["slope"] * score + c["bend"] * np.maximum(score - c["knee"], 0) + c["shift"] * np.log(prior)
        grown = np.exp(e - e.max(axis=1, keepdims=True))
        probs = (1 - c["floor"]) * grown / grown.sum(axis=1, keepdims=True) + c["floor"] * prior
        probs = np.where(known[:, None], probs, prior).astype(np.float32)
        return [probs, score.max(axis=1) + c["words_known"] * coverage]

    def _labels(self, score: np.ndarray, known: np.ndarray, coverage: np.ndarray) -> list[np.ndarray]:
        c, platt = self.said, self.said["platt"]
        z = np.clip(score * np.array(platt["slopes"]) + np.array(platt["shifts"]), -30, 30)
        probs = np.where(known[:, None], 1 / (1 + np.exp(-z)), np.array(self.about["prior"]))
        there = probs >= 0.5
        if platt["least"]:
            bare = np.flatnonzero(~there.any(axis=1))
            there[bare, probs[bare].argmax(axis=1)] = True
        measure = score.max(axis=1) * platt["least"] + c["words_known"] * coverage
        return [probs.astype(np.float32), there, measure]

    def _number(self, score: np.ndarray, known: np.ndarray, coverage: np.ndarray) -> list[np.ndarray]:
        r = self.said["reading"]
        ends = r["least"], r["most"]
        raw = np.where(known, score[:, 0], self.about["median"])
        value = np.clip(_interp(raw, r["scores"], r["medians"]), *ends)
        half = np.interp(np.where(known, 1 - coverage, 1.0), r["difficulties"], r["halves"])
        return [value, np.clip(value - half, *ends), np.clip(value + half, *ends), coverage]

    def _scope(self, measure: np.ndarray, known: np.ndarray) -> np.ndarray:
        z = (measure - self.said["low"]) / (self.said["middle"] - self.said["low"]) * np.log(19)
        return np.where(known, 1 / (1 + np.exp(-np.clip(z, -500, 500))), 0.0).astype(np.float32)


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _beside(folder: Path, name: str) -> Any:
    """A module of the folder; no bytecode is left in it."""
    spec: Any = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = kept
    return module


class Model:
    """What a folder holds: `model(texts)` answers them (pictures: the bytes of files; tables: dicts)."""

    def __init__(self, folder: str | Path) -> None:
        place = Path(folder)
        self.about = json.loads((place / "spec.json").read_text("utf-8"))
        self.classes = [str(name) for name in self.about["classes"]]
        self.pictures, self.tables = (self.about["kind"] == kind for kind in ("image", "table"))
        graph = place / "head.onnx"
        self.session = _session(graph) if graph.exists() else None
        self.head = None if self.session is not None else Head(place, self.about)
        if self.tables:
            body = (place / "features.bin").read_bytes()
            self.cells = _beside(place, "table_cells").Cells(self.about["columns"], body)
            return
        if not self.pictures:
            self.features = Features((place / "features.bin").read_bytes())
            return
        self.pixels = _beside(place, "picture_pixels")
        if self.about["input"]["features"]:
            self.measured = _beside(place, "picture_features").features

    def raw(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """What the head says of n inputs: its arrays, as its kind of answer has them."""
        if self.tables:
            cells, scope = self.cells(inputs)
            return [*self.session.run(None, {"cells": cells}), scope]  # type: ignore[union-attr]
        given = self._pictures(inputs) if self.pictures else self.features(inputs)
        if self.session is None:
            return self.head(*given)  # type: ignore[misc]
        names = [one.name for one in self.session.get_inputs()]
        told: list[np.ndarray] = self.session.run(None, dict(zip(names, given, strict=True)))
        return told

    def _pictures(self, bodies: Sequence[bytes]) -> tuple[np.ndarray, ...]:
        if self.about["input"]["features"]:
            x, readable = self.measured(bodies)
            return x, readable
        side = self.about["input"]["side"]
        out, known = np.zeros((len(bodies), 3, side, side), np.float32), np.zeros(len(bodies), bool)
        for i, body in enumerate(bodies):
            with contextlib.suppress(self.pixels.NoPicture):
                out[i] = self.pixels.square(body, side).transpose(2, 0, 1)
                known[i] = True
        return out, known

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """One answer an input: prediction, confidence and in_scope; of numbers also low and high."""
        if not len(inputs):
            return []
        told = self.raw(inputs)
        return list(getattr(self, "_" + self.about["answer"])(*told))

    def samples(self) -> list[Any]:
        """Inputs to measure with where none are given."""
        if self.tables:
            return [dict.fromkeys(self.about["inputs"])]
        return [b""] if self.pictures else ["Where is my card?", "카드가 아직 안 왔어요 ㅠㅠ"]

    def _class(self, probs: np.ndarray, scope: np.ndarray) -> Iterator[dict[str, Any]]:
        for row, at, inside in zip(probs, probs.argmax(axis=1), scope.tolist(), strict=True):
            yield {"prediction": self.classes[at], "confidence": float(row[at]), "in_scope": inside}

    def _labels(self, probs: np.ndarray, there: np.ndarray, scope: np.ndarray) -> Iterator[dict[str, Any]]:
        power = self.about["calibration"]["platt"]["power"]
        each = np.maximum(np.where(there, probs, 1 - probs.astype(np.float64)), 1e-12)
        sure = np.exp(power * np.log(each).sum(axis=1))
        for row, one, inside in zip(there, sure.tolist(), scope.tolist(), strict=True):
            names = [self.classes[j] for j in np.flatnonzero(row)]
            yield {"prediction": names, "confidence": one, "in_scope": inside}

    def _number(self, *told: np.ndarray) -> Iterator[dict[str, Any]]:
        for value, low, high, inside in zip(*(one.tolist() for one in told), strict=True):
            yield {"prediction": value, "low": low, "high": high, "confidence": 0.8, "in_scope": inside}


def measured(model: Model, inputs: Sequence[Any]) -> dict[str, float]:
    """Milliseconds a row over single calls (p50, p95, and of the processor) and in batches of 32; peak MB."""
    given = list(itertools.islice(itertools.cycle(inputs), WARM + REPEATS))
    for one in given[:WARM]:
        model.raw([one])
    times, before = [], time.process_time()
    for one in given[WARM:]:
        start = time.perf_counter()
        model.raw([one])
        times.append(1000 * (time.perf_counter() - start))
    cpu = 1000 * (time.process_time() - before) / len(times)
    batches = [given[at : at + 32] for at in range(0, len(given) - 31, 32)]
    start = time.perf_counter()
    for batch in batches:
        model.raw(batch)
    in_batches = 1000 * (time.perf_counter() - start) / (32 * len(batches))
    p50, p95 = np.quantile(times, [0.5, 0.95]).tolist()
    found = {"p50_ms": p50, "p95_ms": p95, "cpu_ms": cpu, "batch32_ms_per_row": in_batches}
    return found | {"peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory of this process; rusage would count what its parent had before it began."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def answered(model: Model, inputs: Sequence[Any]) -> list[dict[str, Any]]:
    """Answers; of a row of a table that cannot be read, {"error": why}."""
    try:
        return model(inputs)
    except ValueError as error:
        if not model.tables:
            raise
        if len(inputs) == 1:
            return [{"error": str(error).replace("row 0", "this row", 1)}]
        return [answer for one in inputs for answer in answered(model, [one])]


def lines_of(body: bytes) -> list[bytes]:
    """Lines, the blank ones too; nothing follows the last line break."""
    lines = [line.rstrip(b"\r") for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    return lines if lines[-1] else lines[:-1]


def asked(model: Model, line: bytes, written: bool) -> Any:
    """What a line asks: a text, the bytes of a picture, or a row, its numbers as they are written; ValueError
    or OSError where it cannot be read.
    """
    said: Any = line.decode("utf-8")
    if written or model.tables:
        spelled: Any = {"parse_int": str, "parse_float": str, "object_pairs_hook": _once}
        try:
            said = json.loads(said, parse_constant=_constant, **(spelled if model.tables else {}))
        except json.JSONDecodeError as why:
            raise ValueError(f"no JSON: {why.msg} (character {why.pos + 1})") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
    if not model.tables and not isinstance(said, str | None):
        raise ValueError(f"{type(said).__name__} is no text")
    return Path(said or "").read_bytes() if model.pictures else said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(row := dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return row


def _constant(name: str) -> None:
    """NaN is how programs write that there is no number."""
    if name != "NaN":
        raise ValueError(f"no JSON: {name}")


def answers(model: Model, lines: Sequence[bytes], written: bool = False) -> Iterator[dict[str, Any]]:
    """An answer for each line, 32 at a time; {"error": why} for one that cannot be read."""
    for at in range(0, len(lines), 32):
        inputs: list[Any] = []
        errors: list[str | None] = []
        for line in lines[at : at + 32]:
            try:
                inputs.append(asked(model, line, written))
                errors.append(None)
            except (ValueError, OSError) as why:
                errors.append(str(why))
        told = iter(answered(model, inputs))
        yield from (next(told) if why is None else {"error": why} for why in errors)


def main(words: Sequence[str]) -> int:
    """Answer stdin line by line."""
    flags, folders = [w for w in words if w.startswith("--")], [w for w in words if not w.startswith("--")]
    if len(folders) != 1 or set(flags) - {"--json", "--measure"}:
        print(__doc__, file=sys.stderr)
        return 2
    model = Model(folders[0])
    lines, written = lines_of(sys.stdin.buffer.read()), "--json" in flags
    if "--measure" in flags:  # before anything was asked: a service meets texts that it has not met
        try:
            inputs = [asked(model, line, written) for line in lines] or model.samples()
            sys.stdout.write(json.dumps(measured(model, inputs)) + "\n")
        except (ValueError, OSError) as why:
            print(f"not measured: {why}", file=sys.stderr)
            return 1
        return 0
    for answer in answers(model, lines, written):
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
