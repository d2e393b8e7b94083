"""Features: the vectorised n-grams against a plain reading of docs/features.md, C and JavaScript."""

import gzip
import json
import shutil
import struct
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from bapsim import ship
from bapsim.core.recipe import Mixture
from bapsim.core.records import Records, Task
from bapsim.text import features, normalise
from bapsim.text.features import Grams, Spec
from bapsim.text.normalise import fold
from bapsim.text.words import strings, words
from bapsim.train.text import TextModel, text_linear
from bapsim.wheel.portable import text_parts

REFERENCE = Path(ship.__file__).parent / "device"  # what a shipped model takes along
SPEC = Spec()
ODD = [
    "",
    " ",
    "\t \r\n",
    "Where is my card?",
    "카드가 아직 안 왔어요 ㅠㅠ ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ",
    "\u1112\u1161\u11ab\u1100\u1173\u11af \u110f\u110f e\u0301te\u0301 A\u030a\u0323",
    "ＦＵＬＬ　ｗｉｄｔｈ　１２３ ﬁne ½ ﷺ",
    "İstanbul I\u0307 ıI ΟΔΟΣ Straße",
    "👍🏽 👨\u200d👩\u200d👧 ❤\ufe0f 🇰🇷",
    "line one\nline two\r\n\0nul\x1f",
    "no " * 100,
    "a" * 3000,
    "가나다라 " * 700,
    "\ud800 lone \udfff x\ud83d",
    "\U0010ffff \ufffe \ue000",
    "!!! ... ?! :) ^^",
    "i" + "\u0307" * 70 + "\u0301",
]


def murmur(points: list[int], seed: int = 0) -> int:
    return murmurhash3_32(struct.pack(f"<{len(points)}I", *points), seed=seed, positive=True)


def plain(text: str, spec: Spec) -> tuple[Counter[int], Counter[int]]:
    """The two blocks of one text, as docs/features.md says it, without any vector."""
    codes = fold([text], spec.limit)
    folded, found = codes.strings()[0], strings(codes, words(codes))
    single = [murmur([ord(c) for c in w[: spec.word_limit]]) for w in found]
    word = Counter(single if 1 in spec.words else [])
    for n in spec.words:
        if n > 1:
            word.update(murmur(single[i : i + n], n) for i in range(len(single) - n + 1))
    padded = f" {folded} "
    grams = [padded[i : i + n] for n in spec.chars for i in range(len(padded) - n + 1)]
    kept = [g for g in grams if g.strip() and " " not in g[1:-1]]
    return word, Counter(murmur([ord(c) for c in g]) for g in kept)


def counted(block: Grams) -> list[dict[int, int]]:
    ends, hashes, counts = block.indptr.tolist(), block.hashes.tolist(), block.counts.tolist()
    return [dict(zip(hashes[a:b], counts[a:b], strict=True)) for a, b in pairwise(ends)]


TEXTS = st.lists(
    st.text(st.one_of(st.sampled_from("ab 가나.\n"), st.characters(exclude_categories=("Cs",))), max_size=20),
    max_size=6,
)


@given(
    TEXTS, st.sampled_from([SPEC, Spec(words=(2, 3), chars=(2, 4)), Spec(words=(1,), chars=(), word_limit=2)])
)
def test_ngrams_are_what_the_page_says(texts, spec):
    expected = [plain(t, spec) for t in texts]
    for b, block in enumerate(features.ngrams(fold(texts), spec)):
        assert counted(block) == [dict(e[b]) for e in expected]
        for a, z in zip(block.indptr[:-1], block.indptr[1:], strict=True):
            assert (np.diff(block.hashes[a:z].astype(np.int64)) > 0).all()


def test_odd_texts_and_counts_above_the_limit():
    expected = [plain(t, SPEC) for t in ODD]
    for b, block in enumerate(features.ngrams(fold(ODD), SPEC)):
        assert counted(block) == [{h: min(n, 64) for h, n in e[b].items()} for e in expected]


@pytest.mark.parametrize("chunk", [1, 7, 60, 1 << 20])
def test_a_corpus_in_chunks_is_the_same_corpus(chunk, monkeypatch):
    monkeypatch.setattr(features, "CHUNK", chunk)
    whole = features.ngrams(fold(ODD), SPEC)
    real = [t.encode("utf-8", "replace").decode() for t in ODD]
    for texts, expected in (
        (ODD, whole),
        (pa.array(real), features.ngrams(fold(real), SPEC)),
        (pa.chunked_array([real[:5], real[5:]]), features.ngrams(fold(real), SPEC)),
    ):
        for got, block in zip(features.grams(texts, SPEC), expected, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(got, block, strict=True))


def test_an_empty_corpus():
    for texts in ([], pa.array([], pa.string()), pa.chunked_array([], pa.string())):
        found = features.grams(texts, SPEC)
        known, at = features.vocabulary(found[0])
        assert len(known) == len(at) == 0
        entries = features.entries(found, (known, known))
        assert features.matrix(entries, features.weigh(entries, np.zeros(0, np.float32), SPEC), 0).shape == (
            0,
            0,
        )


def weights() -> np.ndarray:
    return features.tf_weights(SPEC.tf_limit)


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=9), st.integers(1, 3))
def test_vocabulary_and_lookup(rows, min_df):
    sets = [sorted({h * 107_374_182 % 2**32 for h in row}) for row in rows]
    hashes = np.array([h for row in sets for h in row], np.uint32)
    block = Grams(np.cumsum([0, *map(len, sets)]), hashes, np.ones(len(hashes), np.uint8))
    df = Counter(hashes.tolist())
    known, at = features.vocabulary(block, min_df)
    assert known.tolist() == sorted(h for h, n in df.items() if n >= min_df)
    assert [known[c] if c >= 0 else None for c in at] == [
        h if df[h] >= min_df else None for h in hashes.tolist()
    ]


def test_lookup_of_few_in_many_and_at_the_ends():
    known = np.unique(np.random.default_rng(1).integers(0, 2**32, 5000, np.uint32))
    for known_ in (known, np.append(known, np.uint32(2**32 - 1)), known[:0]):
        for asked in (known[:3], np.concatenate([known, known + 1, [0, 2**32 - 1]]).astype(np.uint32)):
            block = Grams(np.array([0, len(asked)]), asked, np.ones(len(asked), np.uint8))
            place = {h: i for i, h in enumerate(known_.tolist())}
            assert features.columns(block, known_).tolist() == [place.get(h, -1) for h in asked.tolist()]


def test_weights_have_the_length_of_their_block():
    texts = ["a b a", "카드가 왔다", "", "zzz", "b"]
    found = features.grams(texts, SPEC)
    known = [features.vocabulary(block)[0] for block in features.grams(texts[:2], SPEC)]
    entries = features.entries(found, known)
    v = sum(map(len, known))
    df = np.bincount(entries.columns[entries.groups < 4], minlength=v)
    values = features.weigh(entries, features.idf(df, 2), SPEC)
    length = np.bincount(entries.groups, values.astype(np.float64) ** 2, 10)
    assert length[:4].tolist() == pytest.approx([0.25, 1] * 2, abs=1e-6)
    assert length[4:8].tolist() == [0] * 4  # nothing known
    assert length[8:].tolist() == pytest.approx([0.25, 1], abs=1e-6)
    assert entries.known.tolist() == [True, True, False, False, True]
    assert entries.coverage.tolist() == [1, 1, 0, 0, 1]
    x = features.matrix(entries, values, v)
    assert x.shape == (5, v)
    assert np.diff(x.indptr).tolist() == np.bincount(entries.groups // 2, minlength=5).tolist()


def test_tf_and_idf_by_hand():
    assert weights()[:4].tolist() == [np.float32(x) for x in (0, 1, 1 + np.log(2), 1 + np.log(3))]
    assert features.idf(np.array([0, 1, 9]), 9).tolist() == [np.float32(np.log(x) + 1) for x in (10, 5, 1)]
    said = SPEC.json()
    assert np.array_equal(np.float32(said["tf"]), weights()[1:])
    assert said["fold"] == normalise.TABLE_HASH
    assert json.loads(json.dumps(said))["chars"] == [1, 2, 3]


# --- the same numbers in C and JavaScript ---------------------------------------------------------


@pytest.fixture(scope="module", params=[2, 3])
def model(request: pytest.FixtureRequest) -> TextModel:
    """A model of odd texts, so that much of them is known; 2 or 3 classes."""
    base = [*ODD[3:13], *ODD[14:], "the card is late", "카드 분실", "no card", "환불 해주세요", "👍", "ok ok"]
    texts = [t.encode("utf-8", "replace").decode() for t in base] * 3
    labels = [str(i % request.param) for i in range(len(texts))]
    records = Records(pa.RecordBatch.from_pydict({"text": texts, "label": labels}))
    mixture = Mixture(task=Task(input="text", target="label"), records=records)
    return text_linear(min_df=2)(None, mixture, 0)


def flat(model: TextModel, folder: Path) -> list[str]:
    """The model as the references read it: features.bin and head.bin."""
    parts = text_parts(model)
    (folder / "features.bin").write_bytes(parts.features())
    (folder / "head.bin").write_bytes(parts.head())
    return [str(folder / "features.bin"), str(folder / "head.bin")]


def in_c(model: TextModel, texts: list[str], folder: Path) -> str:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    compiler = shutil.which("cc") or "gcc"
    flags = ["-O1", "-std=c99", "-Wall", "-Werror", "-ffp-contract=off"]
    source, program = REFERENCE / "features.c", folder / "features"
    subprocess.run([compiler, *flags, str(source), "-lm", "-o", str(program)], check=True, timeout=60)
    bodies = [t.encode("utf-8", "surrogatepass") for t in texts]
    asked = b"".join(struct.pack("<I", len(b)) + b for b in bodies)
    command = [str(program), *flat(model, folder)]
    return subprocess.run(command, input=asked, check=True, capture_output=True, timeout=60).stdout.decode()


def in_javascript(model: TextModel, texts: list[str], folder: Path) -> str:
    if shutil.which("node") is None:
        pytest.skip("no node")
    asked = "".join(json.dumps(t) + "\n" for t in texts).encode()
    command = ["node", str(REFERENCE / "features.js"), *flat(model, folder)]
    return subprocess.run(command, input=asked, check=True, capture_output=True, timeout=60).stdout.decode()


def numbers(line: str) -> list[tuple[int, float]]:
    return [(int(a), float(b)) for a, _, b in (item.partition(":") for item in line.split())]


@pytest.mark.parametrize("program", [in_c, in_javascript])
def test_other_languages_compute_the_same_features_and_answers(program, model, tmp_path):
    texts = [*ODD, "a text of unknown words: qwzx", "카드 card ㅋㅋ", "x" * 70_000]
    lines = program(model, texts, tmp_path).split("\n")[:-1]
    assert len(lines) == 4 * len(texts)
    codes = fold(texts)
    blocks = [counted(block) for block in features.ngrams(codes, model.spec)]
    entries, values = model.vectorise(texts)
    probs, scope = model.judge(texts)
    assert entries.known.sum() > 10
    ends = np.searchsorted(entries.groups, 2 * np.arange(len(texts) + 1))
    for i, text in enumerate(codes.strings()):
        points, hashes, weighed, said = lines[4 * i : 4 * i + 4]
        assert [int(x, 16) for x in points.split()] == [0x20, *map(ord, text), 0x20]
        for half, block in zip(hashes.split("|"), blocks, strict=True):
            assert numbers(half) == sorted(block[i].items())
        at = slice(ends[i], ends[i + 1])
        got = numbers(weighed)
        assert [c for c, _ in got] == entries.columns[at].tolist()
        assert np.array([v for _, v in got], np.float32).tobytes() == values[at].tobytes()  # bit for bit
        answer = np.array([float(x) for x in said.split()])
        assert np.abs(answer - [*probs[i], scope[i]]).max() <= 1e-6


@pytest.mark.data
def test_other_languages_agree_on_real_korean(model, data, tmp_path):
    with gzip.open(data / "hate_ko/unlabeled.jsonl.gz", "rt", encoding="utf-8") as f:
        texts = [json.loads(line)["text"] for _, line in zip(range(300), f, strict=False)]
    entries, values = model.vectorise(texts)
    probs, _ = model.judge(texts)
    for program in (in_c, in_javascript):
        lines = program(model, texts, tmp_path).split("\n")[:-1]
        got = [pair for i in range(len(texts)) for pair in numbers(lines[4 * i + 2])]
        assert [c for c, _ in got] == entries.columns.tolist()
        assert np.array([v for _, v in got], np.float32).tobytes() == values.tobytes()
        said = np.array([[float(x) for x in lines[4 * i + 3].split()] for i in range(len(texts))])
        assert np.abs(said[:, :-1] - probs).max() <= 1e-6
