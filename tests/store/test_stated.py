"""Rules that people stated, read from the inbox: each once, none that was withdrawn, no row outvoted."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bapsim.store.stated import FLOOR, agreed_labels, at_most, stated, stated_rules
from bapsim.store.terms import Terms, write_terms, write_withdrawal
from bapsim.text.rules import folded


def line(terms, label="refund", **more):
    return {
        "id": "l",
        "kind": "rule",
        "person": "p",
        "rule": {"any": terms},
        "label": label,
        "text": "말",
        **more,
    }


def write(inbox, consent, *lines):
    folder = inbox / "people"
    folder.mkdir(exist_ok=True)
    body = "".join(
        one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) + "\n" for one in lines
    )
    (folder / f"{consent}.jsonl").write_text(body, "utf-8")


def test_rules_are_read_and_what_is_none_is_told(tmp_path):
    assert stated_rules(tmp_path, {}) == ([], [])
    write(
        tmp_path,
        "c-aaaaaaaaaaaa",
        {"id": "v", "kind": "vote", "question": "0" * 32, "said": "card"},
        line(["환불"]),
        "not json\n",
        "[1, 2]\n",
        "[" * 100_000 + "\n",
        line(["환불"], id="again"),  # the same under the same consent
        line([], id="empty"),
        {"id": "x", "kind": "rule", "rule": "환불", "label": "refund"},
        line(["card"], " "),
        line(["cancel"], "cancel"),
        '{"kind": "rule", "rule": {"all": ["' + "x" * 500_000 + '"]}, "label": "a"}\n',
    )
    write(tmp_path, "c-bbbbbbbbbbbb", line(["환불"]))
    rules, unread = stated_rules(tmp_path, {"cancel": "stop"})
    assert [(one.consent[2], one.label, one.rule.all) for one in rules] == [
        ("a", "refund", ("환불",)),
        ("a", "stop", ("cancel",)),
        ("b", "refund", ("환불",)),
    ]
    assert len({one.name for one in rules}) == 3
    assert [(one.reason, one.line) for one in unread] == [("rule", n) for n in (7, 8, 9, 11)]
    assert all(one.file == "people/c-aaaaaaaaaaaa.jsonl" for one in unread)


def test_what_was_withdrawn_is_not_in_force(tmp_path):
    write(tmp_path, "c-aaaaaaaaaaaa", line(["환불"]))
    write(tmp_path, "c-bbbbbbbbbbbb", line(["카드"], "card"))
    given_terms = Terms(
        consent="c-bbbbbbbbbbbb", person="p", given="2026", scope=frozenset({"train"}), licence="x"
    )
    write_terms(tmp_path, given_terms)
    write_withdrawal(tmp_path, "c-aaaaaaaaaaaa", "p", "p")
    rules, unread = stated_rules(tmp_path, {})
    assert [one.label for one in rules] == ["card"]
    assert unread == []


def test_where_rules_differ_none_speaks():
    rules = [stated(line([t], c), "c", {}) for t, c in (("a", "x"), ("b", "y"), ("c", "x"), ("a", "x"))]
    said = agreed_labels(rules, folded(["a", "b", "a b", "a c", "a b c", "d"]))
    assert said.tolist() == [0, 1, -2, 0, -2, -1]
    assert agreed_labels([], folded(["a"])).tolist() == [-1]


@given(st.integers(0, 60), st.integers(0, 50), st.randoms())
def test_no_label_is_given_more_often_than_by_people(rows, known, rng):
    rules = [
        stated(line(["a"], "x"), "c", {}),
        stated(line(["b"], "x"), "c", {}),
        stated(line(["c"], "y"), "c", {}),
    ]
    said = np.array([rng.choice([-2, -1, 0, 1, 2]) for _ in range(rows)], np.int64)
    ids = np.array([f"{rng.getrandbits(64):016x}".encode() for _ in range(rows)], "V16")
    chosen = at_most(said, rules, ids, {"x": known})
    assert not chosen[said < 0].any()
    for label, places, most in (("x", (0, 1), max(FLOOR, known)), ("y", (2,), FLOOR)):
        mine = np.isin(said, places)
        assert chosen[mine].sum() == min(mine.sum(), most), label
    keep = np.argsort(ids)[rows // 2 :]  # others come: the ones with low ids stay chosen
    part = at_most(said[np.sort(keep)], rules, ids[np.sort(keep)], {"x": known})
    assert not (chosen[np.sort(keep)] & ~part).any()
