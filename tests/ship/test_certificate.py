"""Certificates as columns: what is said, and what stays at home."""

import numpy as np
import pyarrow as pa

from bapsim.core.records import Origin, verdicts
from bapsim.ship.certificate import COLUMNS, OPINION, Register, certificate, lineage, opinion, pseudonym
from bapsim.testing import records_of

SECRET = b"a key of this project"


def origin(rights: str, consent: str | None = None) -> Origin:
    return Origin(
        source="s",
        input_maker="person",
        target_maker="person",
        method="files",
        rights=rights,
        consent=consent,
    )


def test_a_row_stands_under_the_terms_of_all_it_was_made_from() -> None:
    origins = {
        0: origin("CC-BY-SA-4.0", "form 7"),
        1: origin("own", "form 8"),
        2: origin("derived"),
        3: origin(" "),
    }
    number = np.array([0, 3, 1, 2, 2, 1])
    codes, terms = lineage(number, origins, [(5, [4]), (2, [0]), (3, [2]), (4, [-1])])
    told = [(terms[code].rights, terms[code].consents) for code in codes]
    both = (("CC-BY-SA-4.0", "own"), ("form 7", "form 8"))
    assert told == [
        (("CC-BY-SA-4.0",), ("form 7",)),
        (("unknown",), ()),  # nobody has said anything
        both,  # an answer of ours to a question of theirs
        both,  # what a machine made of it
        (("unknown",), ()),  # made of a row that is gone
        (("own", "unknown"), ("form 8",)),
    ]
    assert len(set(terms)) == len(terms)


def test_a_consent_is_told_apart_but_not_named() -> None:
    assert pseudonym("form 7", SECRET) == pseudonym("form 7", SECRET) != pseudonym("form 8", SECRET)
    assert pseudonym("form 7", SECRET) != pseudonym("form 7", b"another key")
    assert len(pseudonym("김민지 010-1234-5678", SECRET)) == 16


def test_the_columns_of_a_certificate() -> None:
    records = records_of([{"t": "a", "y": "1"}, {"t": "b", "y": None}], keys=["customer 1", "customer 2"])
    origins = {0: origin("own", "form 7")}
    codes, terms = lineage(np.zeros(2, np.int64), origins, [])
    book = Register(origins=origins, turns={0: 3}, verdicts={3: ("accept", "better")}, secret=SECRET)
    columns = certificate(records, np.array([True, False]), terms, codes, book)
    table = pa.table(columns, schema=pa.schema(list(COLUMNS.items()))).to_pylist()
    assert table[0] == {
        "row_id": records.column("_id")[0].as_py().hex(),
        "source": "s",
        "input_maker": "person",
        "target_maker": "person",
        "method": "files",
        "input_depth": 0,
        "target_depth": 0,
        "parents": None,
        "rights": ["own"],
        "consents": [pseudonym("form 7", SECRET)],
        "turn": 3,
        "turn_verdict": "accept",
        "turn_reason": "better",
    }
    assert table[1]["target_maker"] is None, "nobody has made a label that is not there"
    assert table[1]["target_depth"] is None
    stopped = Register(origins=origins, turns={0: 3}, verdicts={}, secret=SECRET)
    assert certificate(records, np.ones(2, bool), terms, codes, stopped)[-2].null_count == 2


def test_the_first_check_that_says_no_gives_the_reason() -> None:
    named = {
        "length": verdicts(np.array([True, False, True]), "too_long", value=np.array([1, 9, 2]), limit=5),
        "mine": verdicts(np.array([True, False, False]), [None, "x", None]),
    }
    table = pa.table(opinion(named, 3, "turn_refused"), schema=pa.schema(list(OPINION.items()))).to_pylist()
    assert [tuple(row.values()) for row in table] == [
        (None, "turn_refused", None, None),
        ("length", "too_long", 9.0, 5.0),
        ("mine", "mine", None, None),  # a reason of no name is called by its check
    ]
