"""Near duplicates: recall and CPU of text/minhash.py beside datasketch, against the exact truth.

    pip install datasketch==2.0.0
    OMP_NUM_THREADS=1 python benchmarks/near_duplicates.py [SET ...]

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/near_duplicates.md; without datasketch its
columns stay empty. Same run, same machine, one thread; CPU = user + system of this process.

Truth: all pairs of distinct texts whose shingle sets have an exact Jaccard similarity of .8 or more, by a
prefix-filtered inverted index (Bayardo et al. 2007), which misses none. datasketch does the same work on the
same letters, folding not counted: a set of five-letter shingles, 128 permutations, an index with 25 bands of
5 (its own choice for .8, 9 bands of 13, is shown too), exact verification of what the index proposes, union
find. `template`: sentences of one template, a name and a number
apart, most of them .72 alike, made up here.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import os
import platform
import random
import resource
import sys
import time
from pathlib import Path

import numpy as np

from bapsim.text.minhash import PATIENCE, Shingles, clusters, jaccard, letters, near, shingles, unite

ROOT = Path(__file__).resolve().parent.parent
DATA = (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()
OUT = ROOT / "docs" / "results" / "near_duplicates.md"
SETS = {
    "banking77": "banking77/train.jsonl.gz",
    "nsmc_ko": "nsmc_ko/train.jsonl.gz",
    "debian_copyright": "debian_copyright/docs.jsonl.gz",
    "lm_ko": "lm_ko/docs.jsonl.gz",
    "lm_en": "lm_en/docs.jsonl.gz",
}
THRESHOLD = 0.8


def read(name):
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def timed(work):
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def true_pairs(sets: Shingles) -> np.ndarray:
    """int64[2, m]: all pairs with Jaccard >= .8. Two such sets share one of the rarest fifth of each."""
    sizes = sets.sizes
    if len(sets) ** 2 * sizes.mean() < 3e9:  # all pairs: the index is no help among texts of one template
        a, b = np.triu_indices(len(sets), 1)
        alike = np.concatenate(
            [jaccard(sets, a[i : i + 10**5], b[i : i + 10**5]) for i in range(0, len(a), 10**5)]
        )
        return np.stack([a, b])[:, alike >= THRESHOLD]
    rows = np.repeat(np.arange(len(sets)), sizes)
    _, token, often = np.unique(sets.hashes, return_inverse=True, return_counts=True)
    order = np.lexsort((token, often[token], rows))
    place = np.arange(len(order)) - np.repeat(sets.starts[:-1], sizes)
    prefix = place < (sizes - np.ceil(THRESHOLD * sizes - 1e-9) + 1)[rows]
    rows, token = rows[prefix], token[order][prefix]
    order = np.lexsort((rows, token))
    rows, token = rows[order], token[order]
    codes = np.empty(0, np.int64)
    step, active = 1, np.arange(len(rows))
    while len(active):
        active = active[active + step < len(rows)]
        active = active[token[active] == token[active + step]]
        a, b = rows[active], rows[active + step]
        fit = np.minimum(sizes[a], sizes[b]) >= THRESHOLD * np.maximum(sizes[a], sizes[b])
        codes = np.union1d(codes, a[fit] * len(sets) + b[fit])
        step += 1
    pairs = np.stack(np.divmod(codes, len(sets)))
    return pairs[:, jaccard(sets, *pairs) >= THRESHOLD]


def datasketch_clusters(words: list[str], params=None, verify=True):
    """The same work with datasketch: index, proposals, verification, union find; over distinct words."""
    from datasketch import MinHash, MinHashLSH

    grams = [{w[i : i + 5] for i in range(max(len(w) - 4, 1))} for w in words]
    index = MinHashLSH(threshold=THRESHOLD, num_perm=128, params=params)
    root = list(range(len(words)))

    def top(i):
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    hashes = MinHash.bulk([[g.encode() for g in s] for s in grams], num_perm=128)
    for i, sketch in enumerate(hashes):
        for j in index.query(sketch):
            a, b = top(i), top(j)
            if a == b:
                continue
            if not verify or len(grams[i] & grams[j]) >= THRESHOLD * len(grams[i] | grams[j]):
                root[max(a, b)] = min(a, b)
        index.insert(i, sketch)
    return np.array([top(i) for i in range(len(words))])


def quality(found, pairs, truth):
    """Share of true pairs that are in one cluster; share of texts whose cluster is wrong."""
    together = (found[pairs[0]] == found[pairs[1]]).mean() if pairs.shape[1] else 1.0
    return together, (found != truth).mean()


def template(rng, count):
    stock = ["".join(rng.choice("abcdefghij") for _ in range(8)) for _ in range(3000)]
    say = (
        "dear {} your order has been shipped today and will arrive at your door within three working days {}"
    )
    return [say.format(rng.choice(stock), rng.randrange(10**6)) for _ in range(count)]


def measure(name, texts, peer):
    words, fold_cost = timed(lambda: sorted(set(letters(texts))))
    sets = shingles(words)
    pairs = true_pairs(sets)
    truth = unite(np.arange(len(words)), *pairs)
    found, cost = timed(lambda: clusters(texts, THRESHOLD))
    ours = quality(clusters(words, THRESHOLD), pairs, truth)
    row = {"set": name, "texts": len(texts), "distinct": len(words), "letters": sum(map(len, words))}
    row |= {"pairs": pairs.shape[1], "cpu": cost, "fold": fold_cost, "recall": ours[0], "wrong": ours[1]}
    row["clusters"] = len(np.unique(found))
    if peer:
        theirs, row["peer_cpu"] = timed(lambda: datasketch_clusters(words, (25, 5)))
        row["peer_recall"], row["peer_wrong"] = quality(theirs, pairs, truth)
        theirs, row["own_cpu"] = timed(lambda: datasketch_clusters(words, None, verify=False))
        row["own_recall"], row["own_wrong"] = quality(theirs, pairs, truth)
    print(json.dumps(row), flush=True)
    return row


def notions(name):
    """How our similarity and that of lower-cased five-word shingles agree, on pairs of the latter >= .3."""
    docs = read(f"{name}/docs.jsonl.gz")
    place = {doc["id"]: i for i, doc in enumerate(docs)}
    pairs = read(f"{name}/near_dup_pairs.jsonl.gz")
    pairs = [p for p in pairs if p["a"] in place and p["b"] in place]
    sets = shingles([doc["text"] for doc in docs])
    ours = jaccard(sets, *(np.array([place[p[side]] for p in pairs]) for side in "ab"))
    theirs = np.array([p["jaccard"] for p in pairs])
    found = clusters([doc["text"] for doc in docs], THRESHOLD)
    same = np.array([found[place[p["a"]]] == found[place[p["b"]]] for p in pairs])
    high = theirs >= THRESHOLD
    return [
        name, len(pairs), high.sum(), (ours >= THRESHOLD).sum(), (high & (ours >= THRESHOLD)).sum(),
        f"{same[high].mean():.4f}", f"{ours[high].min():.2f}",
        f"{theirs[ours >= THRESHOLD].min():.2f}", f"{np.corrcoef(ours, theirs)[0, 1]:.3f}",
    ]  # fmt: skip


def table(head, rows):
    return "\n".join(["| " + " | ".join(map(str, r)) + " |" for r in (head, ["---"] * len(head), *rows)])


def ratio(r):
    return f"{r['peer_cpu'] / r['cpu']:.0f}x" if "peer_cpu" in r else ""


def page(rows, agree, lines, memory, peer):
    shown = [
        [r["set"], r["texts"], r["distinct"], f"{r['letters'] / 1e6:.1f} M", r["pairs"], f"{r['cpu']:.2f}",
         f"{r['recall']:.4f}", f"{r['wrong']:.4%}", f"{r['peer_cpu']:.1f}" if peer else "",
         f"{r['peer_recall']:.4f}" if peer else "", ratio(r), f"{r['own_cpu']:.1f}" if peer else "",
         f"{r['own_recall']:.4f}" if peer else "", f"{r['own_wrong']:.3%}" if peer else ""]
        for r in rows
    ]  # fmt: skip
    head = ["set", "texts", "distinct", "letters", "true pairs", "CPU s", "pairs joined", "texts misplaced"]
    head += ["datasketch, same work: CPU s", "pairs joined", "ratio of CPU"]
    head += ["datasketch as it comes: CPU s", "pairs joined", "texts misplaced"]
    return f"""# Near duplicates

`OMP_NUM_THREADS=1 python benchmarks/near_duplicates.py`; Python {platform.python_version()}, numpy
{np.__version__}, datasketch {peer or "not installed"}; peak memory of the process before the peer ran: {
        memory
    } MB
(texts included). Texts as they stand in the file, folding included in our CPU and not in the peer's.

{table(head, shown)}

- True pairs: exact Jaccard of five-letter shingles >= {
        THRESHOLD
    }, by an index or a comparison that misses none, among
  distinct texts (equal letters collapse first). "Misplaced": another cluster than the true pairs give.
- Every pair that we join is verified exactly; nothing is joined that is not linked. What is missed are pairs
  that share no band, and in `template` pairs whose texts used up their {PATIENCE} exact comparisons in vain.
- datasketch "same work": 128 permutations, 25 bands of 5, exact verification; "as it comes": its own bands
  for a threshold of .8, no verification.

Exam leaks (`near`): {lines[0]}
Sentences of one template: {lines[1]} CPU s; four times the texts, four times the work.

## Five letters or five words

The data sets name pairs by lower-cased five-word shingles (all pairs >= .3).

{
        table(
            [
                "set",
                "pairs named",
                "words >= .8",
                "letters >= .8",
                "both",
                "words >= .8 in one cluster of ours",
                "least by letters where words >= .8",
                "least by words where letters >= .8",
                "correlation",
            ],
            agree,
        )
    }

Letters are the milder measure: one edit spoils five windows of letters, but up to five of the much fewer
windows of words; and they work where words are glued to endings. What words call near equal, ours does too.
"""


def main(names):
    try:
        peer = importlib.metadata.version("datasketch")
    except importlib.metadata.PackageNotFoundError:
        peer = ""
    texts = {n: [r["text"] for r in read(p) if r.get("label", 0) is not None] for n, p in SETS.items()}
    rng = random.Random(1)
    texts["template"] = template(rng, 3000)
    chosen = names or list(texts)
    reviews = texts["nsmc_ko"]
    hit, cost = timed(lambda: near(reviews[:2000], reviews[2000:], THRESHOLD))
    leak = f"{(hit >= 0).sum()} of {len(hit):,} reviews equal or nearly equal one of 2,000: {cost:.2f} CPU s."
    clusters(reviews, THRESHOLD)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    grown = {n: template(rng, n) for n in (3000, 12_000, 48_000)}
    growth = [f"{n:,} in {timed(lambda t=t: clusters(t))[1]:.1f}" for n, t in grown.items()]
    rows = [measure(name, texts[name], peer) for name in chosen]
    agree = [notions(name) for name in ("lm_en", "lm_ko", "debian_copyright")]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(page(rows, agree, [leak, ", ".join(growth)], memory, peer), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
