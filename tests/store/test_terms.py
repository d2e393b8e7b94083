"""Terms and tombstones: what is written is read, what is unclear stops, the strictest terms decide."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bapsim.core.errors import InputError
from bapsim.store.terms import (
    SCOPES,
    Terms,
    as_written,
    parsed,
    read_terms,
    refusal,
    signed_body,
    stem,
    withdrawals,
    write_terms,
    write_withdrawal,
)

DAY = date(2026, 11, 23)
GRANT = Terms(
    consent="c-abcdefghij22",
    person="p-abcdefghij",
    given="2026-11-23T01:02:03+00:00",
    scope=frozenset({"train", "evaluate"}),
    licence="LicenseRef-expert",
)

days = st.none() | st.dates(date(2020, 1, 1), date(2030, 1, 1))
grants = st.builds(
    Terms,
    consent=st.text(min_size=1),
    person=st.text(min_size=1),
    given=st.just(GRANT.given),
    scope=st.frozensets(st.sampled_from(SCOPES)),
    licence=st.text(min_size=1),
    never_synthesise=st.booleans(),
    embargo=days,
    expires=days,
    confidential=st.booleans(),
    employer=st.sampled_from(("none", "cleared", "pending")),
    secret_owner=st.none() | st.text(min_size=1),
    revocable=st.sampled_from(("yes", "before_turn", "no")),
    notice=st.dictionaries(st.text(), st.text(), max_size=2),
    record=st.dictionaries(st.text(), st.integers(), max_size=2),
    signature=st.none() | st.text(min_size=1),
)


@given(grants)
def test_what_is_written_is_read(terms):
    written = json.loads(json.dumps(as_written(terms)))
    assert parsed(written) == terms
    assert signed_body(parsed(written)) == signed_body(replace(terms, signature="other"))


@given(st.lists(grants, max_size=3), grants, st.frozensets(st.sampled_from(SCOPES), min_size=1))
def test_more_terms_never_allow_more(several, another, purposes):
    if refusal(several, purposes, DAY) is not None:
        assert refusal([*several, another], purposes, DAY) is not None
    assert (refusal([another], purposes, DAY) is None) or refusal([*several, another], purposes, DAY)


@given(st.text(), st.text())
def test_files_of_two_consents_never_share_a_name(one, other):
    assert (stem(one) == stem(other)) == (one == other)
    assert set(stem(one)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@pytest.mark.parametrize(
    ("change", "purposes", "reason"),
    [
        ({}, {"train"}, None),
        ({}, {"train", "evaluate"}, None),
        ({}, {"train", "synthesise"}, "no_purpose"),
        ({"scope": frozenset()}, {"train"}, "no_purpose"),
        ({"embargo": DAY}, {"train"}, None),
        ({"embargo": DAY + timedelta(1)}, {"train"}, "embargo"),
        ({"expires": DAY}, {"train"}, None),
        ({"expires": DAY - timedelta(1)}, {"train"}, "consent_expired"),
        ({"employer": "pending"}, {"train"}, "not_cleared"),
        ({"employer": "cleared", "secret_owner": "Hansik"}, {"train"}, None),
        ({"secret_owner": "Hansik"}, {"train"}, "not_cleared"),
        ({"confidential": True}, {"train"}, None),
        ({"confidential": True, "scope": frozenset(SCOPES)}, {"publish_text"}, "confidential"),
        ({"never_synthesise": True, "scope": frozenset(SCOPES)}, {"synthesise"}, "never_synthesise"),
    ],
)
def test_why_a_record_may_not_be_used(change, purposes, reason):
    wide = replace(GRANT, scope=frozenset(SCOPES))
    for terms in ([replace(GRANT, **change)], [wide, replace(GRANT, **change), wide]):
        assert refusal(terms, purposes, DAY) == reason
    assert refusal([], purposes, DAY) is None


def test_files(tmp_path):
    assert (read_terms(tmp_path), withdrawals(tmp_path)) == ({}, {})
    odd = replace(GRANT, consent="동의서 1/../../etc", embargo=DAY)
    for terms in (GRANT, odd, replace(GRANT, licence="CC0-1.0")):
        path = write_terms(tmp_path, terms)
        assert path.parent == tmp_path / "people"
    assert read_terms(tmp_path) == {GRANT.consent: replace(GRANT, licence="CC0-1.0"), odd.consent: odd}
    first = write_withdrawal(tmp_path, odd.consent, odd.person, "p-abcdefghij")
    assert write_withdrawal(tmp_path, odd.consent, odd.person, "somebody else") == first
    assert withdrawals(tmp_path) == {odd.consent: first}
    assert len(read_terms(tmp_path)) == 2


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b"", "terms_unreadable"),
        (b"\xff\xfe", "terms_unreadable"),
        (b"[]", "terms_unreadable"),
        (b"null", "terms_unreadable"),
        (b"[" * 100_000, "terms_unreadable"),
        (b"{}", "terms_unreadable"),
        ({"scope": ["everything"]}, "terms_unreadable"),
        ({"scope": "train"}, "terms_unreadable"),
        ({"scope": [["train"]]}, "terms_unreadable"),
        ({"never_synthesise": "no"}, "terms_unreadable"),
        ({"embargo": "soon"}, "terms_unreadable"),
        ({"expires": 5}, "terms_unreadable"),
        ({"employer": "maybe"}, "terms_unreadable"),
        ({"notice": []}, "terms_unreadable"),
        ({"person": ""}, "terms_unreadable"),
        ({"secret_owner": 3}, "terms_unreadable"),
        ({"consent": "c-another"}, "terms_misnamed"),
    ],
)
def test_unclear_terms_stop(tmp_path, body, key):
    path = write_terms(tmp_path, GRANT)
    whole = body if isinstance(body, bytes) else json.dumps({**as_written(GRANT), **body}).encode()
    path.write_bytes(whole)
    with pytest.raises(InputError) as raised:
        read_terms(tmp_path)
    assert raised.value.key == key


def test_an_unclear_tombstone_stops_all_but_other_withdrawals(tmp_path):
    write_withdrawal(tmp_path, "c-one", "p-one", "p-one")
    (tmp_path / "people" / "c-two.withdrawn.json").write_text('{"consent": "c-two"}')
    with pytest.raises(InputError):
        withdrawals(tmp_path)
    with pytest.raises(InputError):
        write_withdrawal(tmp_path, "c-two", "p-two", "p-two")
    assert write_withdrawal(tmp_path, "c-three", "p-3", "p-3").consent == "c-three"
