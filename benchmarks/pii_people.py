"""Names, addresses and papers: recall on made sentences and on two sets, clean sentences touched, speed.

    OMP_NUM_THREADS=1 python benchmarks/pii_people.py

Reads BAPSIM_DATA (default ../shared/data), writes docs/results/pii_people.md. The sentences are made from
common names, public forms and check digits, by a generator that does not know the kernel's lists. What was
seen of klue_ner_ko and pii_en, and changed after it, is in docs/LOG.md.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bapsim.judge.compare import wilson
from bapsim.text.pii import ALL, KINDS, PEOPLE, find

ROOT = Path(__file__).resolve().parent.parent
DATA = (ROOT / os.environ.get("BAPSIM_DATA", "../shared/data")).resolve()
OUT = ROOT / "docs" / "results" / "pii_people.md"
SEED, EACH = 20261123, 400
# The commonest surnames, first names of several decades, titles, towns and roads, from common knowledge.
KNOWN = json.loads(Path(__file__).with_name("pii_names.json").read_text("utf-8"))
SURNAMES, FIRST, TITLES, LABELS = (KNOWN[name] for name in ("SURNAMES", "FIRST", "TITLES", "LABELS"))
GIVEN_EN, FAMILY_EN, STREETS = (KNOWN[name] for name in ("GIVEN_EN", "FAMILY_EN", "STREETS"))
CITIES, ROADS, LOTS = (KNOWN[name] for name in ("CITIES", "ROADS", "LOTS"))
PARTICLES = ("이", "가", "은", "는", "을", "를", "께", "에게", "와", "과", "의", "도", "")
Made = tuple[str, str, int, int]  # format, text, start, end


def placed(form: str, before: str, said: str, after: str) -> Made:
    return form, before + said + after, len(before), len(before) + len(said)


def names(rng: random.Random) -> Iterator[Made]:
    def one() -> str:
        return rng.choice(SURNAMES) + rng.choice(FIRST)

    for _ in range(EACH):
        title, tail = rng.choice(TITLES), rng.choice(PARTICLES)
        yield placed(
            "Korean, title",
            rng.choice(("어제 ", "", "(", "오전에 ")),
            one(),
            f"{rng.choice((' ', ''))}{title}{tail} 왔다",
        )
        yield placed(
            "Korean, label",
            rng.choice(LABELS) + rng.choice((": ", " : ", " ", "은 ")),
            one(),
            rng.choice((" ", ", 34세", "입니다", " 010-1234-5678")),
        )
        yield placed(
            "Korean, of oneself",
            rng.choice(("저는 ", "제 이름은 ", "안녕하세요 저는 ")),
            one(),
            rng.choice(("입니다.", "이라고 합니다", "예요")),
        )
        who = f"{rng.choice(GIVEN_EN)} {rng.choice(FAMILY_EN)}"
        yield placed(
            "English, title",
            rng.choice(("Ask ", "", "I met ")),
            f"{rng.choice(('Mr.', 'Ms.', 'Dr.', 'Prof.'))} {who}",
            " today",
        )
        yield placed(
            "English, of oneself",
            rng.choice(("Hi, my name is ", "My name is ")),
            who,
            rng.choice((".", " and I", ",")),
        )


def addresses(rng: random.Random) -> Iterator[Made]:
    for _ in range(EACH):
        number = rng.choice((str(rng.randrange(1, 400)), f"{rng.randrange(1, 200)}-{rng.randrange(1, 30)}"))
        flat = rng.choice(
            (
                "",
                f", {rng.randrange(1, 30)}층",
                f" {rng.randrange(101, 120)}동 {rng.randrange(101, 2501)}호",
                f" {rng.randrange(101, 1500)}호",
            )
        )
        before, after = (
            rng.choice(("주소는 ", "배송지 ", "", "저는 ")),
            rng.choice(("입니다", "에 삽니다", "로 보내 주세요", ".")),
        )
        yield placed(
            "Korean, road", before, f"{rng.choice(CITIES)} {rng.choice(ROADS)} {number}{flat}", after
        )
        yield placed("Korean, lot", before, f"{rng.choice(CITIES)} {rng.choice(LOTS)} {number}번지", after)
        yield placed("Korean, road with a word", "주소: ", f"{rng.choice(ROADS)} {number}", after)
        yield placed(
            "English, street",
            rng.choice(("I live at ", "", "Send it to ")),
            f"{rng.randrange(1, 9999)} {rng.choice(STREETS)}",
            rng.choice((".", ", please", "")),
        )


def papers(rng: random.Random) -> Iterator[Made]:
    for _ in range(EACH):
        nine = [rng.randrange(10) for _ in range(9)]
        total = sum(w * d for w, d in zip((1, 3, 7, 1, 3, 7, 1, 3, 5), nine, strict=True)) + nine[8] * 5 // 10
        ten = "".join(map(str, [*nine, (10 - total % 10) % 10]))
        after = rng.choice(("입니다", "로", "을 확인", " 맞나요?", ""))
        yield placed(
            "business", rng.choice(("", "번호 ", "사업자 ")), f"{ten[:3]}-{ten[3:5]}-{ten[5:]}", after
        )
        digits = "".join(str(rng.randrange(10)) for _ in range(14))
        form = rng.choice(
            (
                f"{digits[:3]}-{digits[3:6]}-{digits[6:12]}",
                f"{digits[:6]}-{digits[6:8]}-{digits[8:14]}",
                digits[:13],
            )
        )
        yield placed(
            "account",
            rng.choice(("국민은행 ", "계좌번호: ", "카카오뱅크 ", "입금계좌 ", "농협 ")),
            form,
            after,
        )
        yield placed(
            "passport",
            rng.choice(("여권 ", "여권번호: ", "passport no. ")),
            f"{rng.choice('MSR')}{digits[:8]}",
            after,
        )
        yield placed("passport, new", "", f"M{digits[:3]}{rng.choice('ABCDE')}{digits[3:7]}", after)
        region = rng.randrange(11, 29)
        yield placed(
            "licence",
            rng.choice(("", "면허 ", "운전면허번호 ")),
            f"{region}-{digits[:2]}-{digits[2:8]}-{digits[8:10]}",
            after,
        )


def recall(made: list[Made], kind: str | None) -> dict[str, tuple[int, int]]:
    """By format: values of which nothing is left, by a span of this kind where one is said; of all."""
    spans = find([text for _, text, _, _ in made], PEOPLE)
    held: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
    for of, k, a, b in zip(*(part.tolist() for part in spans), strict=True):
        held[of].append((ALL[k], a, b))
    counts: dict[str, tuple[int, int]] = {}
    for i, (form, text, start, end) in enumerate(made):
        covered = [False] * len(text)
        for k, a, b in held[i]:
            if kind is None or k == kind:
                covered[a:b] = [True] * (b - a)
        gone = all(covered[j] or not text[j].isalnum() for j in range(*_core(text, start, end)))
        right, of = counts.get(form, (0, 0))
        counts[form] = (right + gone, of + 1)
    return counts


def _core(text: str, start: int, end: int) -> tuple[int, int]:
    """A value without an English title, which says nothing."""
    m = re.compile(r"(?:Mr|Ms|Dr|Prof)\. ").match(text, start)
    return (m.end() if m else start), end


def lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


TITLED = re.compile(
    rf" ?(?:{'|'.join(sorted(TITLES, key=len, reverse=True))})"
    rf"(?:{'|'.join(p for p in PARTICLES if p)})?(?![가-힣])"
)
LABELLED = re.compile(rf"(?:{'|'.join(LABELS)})(?:은|는|이|가)?[ :]{{1,3}}\Z")
KOREAN = re.compile("[가-힣]{2,4}")


def klue() -> dict[str, Any]:
    """Names of klue_ner_ko with a cue beside them and without, and sentences without one that are touched."""
    rows = lines("klue_ner_ko/ner.jsonl.gz")
    out: dict[str, Any] = {}
    for kinds in (("name",), ("name", "bare_name"), ("address",), PEOPLE):
        spans = find([row["text"] for row in rows], kinds)
        held: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for of, a, b in zip(spans.texts.tolist(), spans.starts.tolist(), spans.ends.tolist(), strict=True):
            held[of].append((a, b))
        cued, other, clean = [0, 0], [0, 0], [0, 0]
        for i, row in enumerate(rows):
            people = [(e["start"], e["end"]) for e in row["entities"] if e["type"] == "PS"]
            places = [e for e in row["entities"] if e["type"] == "LC"]
            if not people and not (places and "address" in kinds):
                clean[0] += bool(held[i])
                clean[1] += 1
            for a, b in people:
                said = row["text"][a:b]
                beside = TITLED.match(row["text"], b) or LABELLED.search(row["text"][:a])
                korean = KOREAN.fullmatch(said) and said[0] in SURNAMES
                which = cued if beside and korean else other
                which[0] += any(x <= a and b <= y for x, y in held[i])
                which[1] += 1
        out[" + ".join(kinds) if kinds != PEOPLE else "all of the rooms"] = {
            "cued": cued,
            "other": other,
            "clean": clean,
        }
    return out


def english() -> dict[str, dict[str, list[int]]]:
    """pii_en by type: spans of which something is found, and all; and what is found beside them."""
    rows = lines("pii_en/" + next(p.name for p in sorted((DATA / "pii_en").iterdir()) if p.suffix == ".gz"))
    spans = find([row["text"] for row in rows], PEOPLE)
    held: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for of, a, b in zip(spans.texts.tolist(), spans.starts.tolist(), spans.ends.tolist(), strict=True):
        held[of].append((a, b))
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    false = [0, 0]
    for i, row in enumerate(rows):
        for span in row["spans"]:
            hit = any(a < span["end"] and span["start"] < b for a, b in held[i])
            found[span["type"]][0] += hit
            found[span["type"]][1] += 1
        for a, b in held[i]:
            false[0] += not any(a < s["end"] and s["start"] < b for s in row["spans"])
            false[1] += 1
    return {"types": dict(sorted(found.items(), key=lambda one: -one[1][1])), "false": {"spans": false}}


def speed() -> list[tuple[str, str, int, float]]:
    """Sentences a second on one core."""
    found = []
    for name, column in (("nsmc_ko/train.jsonl.gz", "text"), ("klue_ner_ko/ner.jsonl.gz", "text")):
        path = DATA / name
        if not path.exists():
            path = next((DATA / name.split("/")[0]).glob("*.jsonl.gz"))
        texts = [row[column] for row in lines(str(path.relative_to(DATA)))][:40_000]
        for kinds, said in ((KINDS, "numbers"), (PEOPLE, "all of the rooms")):
            begun = time.process_time()
            find(texts, kinds)
            found.append((name.split("/")[0], said, len(texts), len(texts) / (time.process_time() - begun)))
    return found


def share(right: int, of: int) -> str:
    if not of:
        return "–"
    low, _ = wilson(right, of)
    return f"{right / of:.4f} ({low:.4f})"


def table(title: str, makers: list[tuple[Callable[..., Iterator[Made]], str | None]]) -> list[str]:
    out = [f"| {title} | sentences | gone (lower end of 95 %) |", "| --- | --- | --- |"]
    for maker, kind in makers:
        for form, (right, of) in recall(list(maker(random.Random(SEED))), kind).items():
            out.append(f"| {form} | {of} | {share(right, of)} |")
    return out


def main() -> None:
    said = KNOWN["PAGE"]
    page = ["# Names, addresses, papers", "", said["top"], "", "## Made sentences", ""]
    page += table("form", [(names, "name"), (addresses, None), (papers, None)])
    page += ["", "## klue_ner_ko", "", said["klue"], ""]
    page += [
        "| looked for | names with a cue | all others | clean sentences touched |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in klue().items():
        (right, of), (found, others), (touched, clean) = (row[part] for part in ("cued", "other", "clean"))
        cells = f"{share(right, of)} of {of} | {share(found, others)} of {others}"
        page.append(f"| {name} | {cells} | {100 * touched / clean:.2f} % of {clean} |")
    told = english()
    page += ["", "## pii_en", "", said["pii_en"], "", "| type | found | of |", "| --- | --- | --- |"]
    page += [f"| {kind} | {right} | {of} |" for kind, (right, of) in told["types"].items()]
    wrong, spans = told["false"]["spans"]
    page += ["", f"Of {spans} spans found, {wrong} touch none that is marked.", "", "## Speed", ""]
    page += ["| set | kinds | sentences | a CPU-second |", "| --- | --- | --- | --- |"]
    page += [f"| {name} | {kinds} | {count:,} | {rate:,.0f} |" for name, kinds, count, rate in speed()]
    OUT.write_text("\n".join(page) + "\n", "utf-8")
    print("\n".join(page))


if __name__ == "__main__":
    main()
