"""Errors as they are carried: between processes, and in two languages."""

from __future__ import annotations

import pickle

from bapsim.core.errors import Damaged, InputError


def test_an_error_comes_whole_from_another_process() -> None:
    said = Damaged("unreadable_model", path="models/main/t001")
    back = pickle.loads(pickle.dumps(said))
    assert (type(back), back.key, back.values) == (Damaged, said.key, said.values)
    assert back.say("ko") == said.say("ko")
    assert "t001" in str(back)
    assert pickle.loads(pickle.dumps(InputError("people_no_psycopg"))).key == "people_no_psycopg"
