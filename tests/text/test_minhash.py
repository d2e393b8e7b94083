"""Near duplicates against brute force: what is joined, what is not, and that hostile texts cost no square."""

import gzip
import json
import random
import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.text.minhash import (
    PERMUTATIONS,
    RECALL,
    band_rows,
    clusters,
    jaccard,
    letters,
    near,
    shingles,
    signatures,
    unite,
)


@cache
def windows(text):
    word = letters([text])[0].ljust(5, "\0")
    return {word[i : i + 5] for i in range(len(word) - 4)}


def similarity(a, b):
    return len(windows(a) & windows(b)) / len(windows(a) | windows(b))


def linked(texts, threshold):
    """Clusters by brute force."""
    sets = [windows(t) for t in texts]
    a, b = np.triu_indices(len(texts), 1)
    hit = [len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j]) for i, j in zip(a, b, strict=True)]
    return unite(np.arange(len(texts)), a[hit], b[hit])


def edited(rng, texts, count):
    """Copies with a few letters changed, dropped or added: similarities spread over 0 to 1."""
    out = []
    for _ in range(count):
        text = list(rng.choice(texts))
        for _ in range(rng.choice([0, 1, 1, 2, 4])):
            at = rng.randrange(len(text))
            text[at : at + rng.randrange(2)] = rng.choice(["", "x", " q ", "가나"])
        out.append("".join(text))
    return out


def sentences(rng, count, words=14):
    stock = [
        "".join(rng.choice("가나다라마바사아자차abcdefghij") for _ in range(rng.randint(2, 7)))
        for _ in range(500)
    ]
    return [" ".join(rng.choice(stock) for _ in range(rng.randint(2, words))) for _ in range(count)]


@given(
    st.lists(st.text("ab가 .!3\u200b", max_size=14), min_size=1, max_size=12),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_short_texts_cluster_as_by_brute_force(texts, threshold):
    assert clusters(texts, threshold).tolist() == linked(texts, threshold).tolist()


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_edited_sentences_cluster_as_by_brute_force(threshold):
    rng = random.Random(5)
    texts = sentences(rng, 150)
    texts += edited(rng, texts, 350)
    found, truth = clusters(texts, threshold), linked(texts, threshold)
    assert len(np.unique(truth)) < 400
    assert (truth[found] == truth).all()  # nothing is joined that is not linked
    assert (found == truth).mean() > 0.995


def test_order_of_rows_changes_labels_only():
    rng = random.Random(6)
    texts = sentences(rng, 100)
    texts += edited(rng, texts, 200)
    order = np.random.default_rng(0).permutation(len(texts))
    kept, moved = clusters(texts), clusters([texts[i] for i in order])
    assert (kept <= np.arange(len(kept))).all()
    assert np.array_equal(kept[kept], kept)
    pairs = np.unique(np.stack([kept[order], moved]), axis=1)
    assert pairs.shape[1] == len(np.unique(kept)) == len(np.unique(moved))


def test_white_space_case_punctuation_and_spelling_of_code_points_do_not_count():
    same = [
        "Where is my card?",
        "where is  MY card",
        "ｗｈｅｒｅ ｉｓ ｍｙ ｃａｒｄ",
        "Where -- is 'my' card!!",
    ]
    korean = ["최고의 영화!!", "최고의영화", "최고의 영화"]
    assert clusters([*same, *korean]).tolist() == [0, 0, 0, 0, 4, 4, 4]


def test_numbers_symbols_and_marks_alone_do_count():
    assert letters(["It costs 3.5, no: 1,000.", "C++ / C#!", "...", "?!", "👍 good", None, " "]) == [
        "itcosts3.5no1,000",
        "c++c",
        "...",
        "?!",
        "👍good",
        "",
        "",
    ]
    assert clusters(["3.5", "35", "...", "?!", None, ""]).tolist() == [0, 1, 2, 3, 4, 4]


def test_signatures_estimate_jaccard_without_bias():
    rng = random.Random(7)
    texts = sentences(rng, 60, 60)
    sets = shingles([*texts, *edited(rng, texts, 400)])
    a = np.random.default_rng(1).integers(0, len(sets), 20_000)
    b = np.random.default_rng(2).integers(0, len(sets), 20_000)
    exact = jaccard(sets, a, b)
    signed = signatures(sets)
    assert signed.dtype == np.uint32
    assert signed.shape == (460, PERMUTATIONS)
    error = (signed[a] == signed[b]).mean(axis=1) - exact
    middle = (exact > 0.3) & (exact < 0.95)
    assert abs(error[middle].mean()) < 0.01
    assert error[middle].std() < 1.3 * np.sqrt(0.25 / PERMUTATIONS)


def test_exact_similarity_is_that_of_the_sets():
    rng = random.Random(8)
    texts = sentences(rng, 30)
    texts += edited(rng, texts, 70)
    a, b = np.triu_indices(len(texts))
    found = jaccard(shingles(texts), a, b)
    assert np.allclose(found, [similarity(texts[i], texts[j]) for i, j in zip(a, b, strict=True)])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_propose_nearly_all_pairs_at_the_threshold(threshold):
    rows = band_rows(threshold)
    assert 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= RECALL
    for wrong in (0, 1.1, -1):
        with pytest.raises(ValueError, match="threshold"):
            band_rows(wrong)


@given(
    st.lists(st.text("abc가 ", max_size=12), max_size=8), st.lists(st.text("abc가 ", max_size=12), max_size=8)
)
def test_near_finds_what_brute_force_finds(a, b):
    found = near(a, b, 0.5)
    assert len(found) == len(b)
    for text, row in zip(b, found, strict=True):
        likeness = [similarity(text, other) for other in a]
        if row < 0:
            assert max(likeness, default=0) < 0.5
        else:
            assert likeness[row] >= 0.5
            same = [i for i, other in enumerate(a) if letters([other]) == letters([text])]
            assert not same or row == same[0]


def test_near_finds_every_copy_of_one_exam_item_whichever_side_is_longer():
    rng = random.Random(9)
    exam = sentences(rng, 40, 30)
    copies = [f"{text} x{i % 7}" for i in range(50) for text in exam[:20]]
    others = sentences(rng, 500, 30)
    found = near(exam, [*copies, *others])
    assert (found[:1000] == np.tile(np.arange(20), 50)).mean() > 0.9  # the shortest fall below the threshold
    truth = [max(range(40), key=lambda i, c=c: similarity(c, exam[i])) for c in copies[:100]]
    good = np.array([similarity(c, exam[i]) >= 0.8 for c, i in zip(copies[:100], truth, strict=True)])
    assert np.array_equal(found[:100], np.where(good, truth, -1))
    assert (near([*others, *copies], exam)[:20] >= 500).mean() > 0.9


def template(rng, count):
    name = ["".join(rng.choice("abcdefghij") for _ in range(8)) for _ in range(400)]
    return [
        f"dear {rng.choice(name)} your order {rng.randrange(10**6)} has left and will be with you"
        for _ in range(count)
    ]


HOSTILE = {
    "identical": lambda rng, n: ["the same text again and again"] * n,
    "template": template,
    "one letter": lambda rng, n: ["a" * (i % 3000) for i in range(n)],
    "chain": lambda rng, n: [
        "".join(map(chr, range(0xAC00 + i % 8000, 0xAC00 + i % 8000 + 60))) for i in range(n)
    ],
    "nothing": lambda rng, n: ["", " ", None] * (n // 3),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_cost_no_square(kind):
    rng = random.Random(10)
    spent = []
    for count in (750, 3000):
        texts = HOSTILE[kind](rng, count)
        start = time.process_time()
        clusters(texts)
        spent.append(time.process_time() - start)
    assert spent[1] < max(0.6, 8 * spent[0])  # four times the texts: a square would be 16 times the work


def test_long_documents_and_broken_code_points():
    rng = random.Random(11)
    long = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(100_000))
    texts = [long, long[:60_000] + "zz" + long[60_000:], long[:50_000], "\ud800 lone", "\x00\x00", long]
    assert clusters(texts).tolist() == [0, 0, 2, 3, 4, 0]


def test_no_texts():
    assert clusters([]).shape == (0,)
    assert near([], ["a"]).tolist() == [-1]
    assert near(["a"], []).shape == (0,)
    assert len(shingles([])) == 0


@given(
    st.integers(1, 60).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))
    )
)
def test_unite_finds_connected_components(case):
    count, pairs = case
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    root = unite(np.arange(count), left, right)
    slow = list(range(count))
    for _ in range(count):
        for a, b in pairs:
            slow[a] = slow[b] = min(slow[a], slow[b])
    assert root.tolist() == slow


@pytest.mark.data
@pytest.mark.parametrize("name", ["debian_copyright"])
def test_documents_against_brute_force(data, name):
    with gzip.open(data / name / "docs.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    sets = shingles(texts)
    order = np.argsort(sets.sizes, kind="stable")
    sizes = sets.sizes[order]
    ends = np.searchsorted(0.8 * sizes, sizes, side="right")  # a pair of .8 has sizes within .8
    a = order[np.repeat(np.arange(len(texts)), ends - np.arange(len(texts)))]
    b = order[np.concatenate([np.arange(i, j) for i, j in enumerate(ends)])]
    alike = jaccard(sets, a, b) >= 0.8
    found, truth = clusters(texts), unite(np.arange(len(texts)), a[alike], b[alike])
    assert np.array_equal(found, truth)
