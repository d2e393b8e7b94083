"""Who may do what: five roles, and nobody may what is not said.

    owner     sets up: invites and revokes people, sees everything but other people's unapproved words
    curator   writes guidelines and settles questions; sees approved and redacted text
    trainer   runs turns and sees sets and reports
    auditor   reads the audit log and the accounts, and no payload
    expert    answers, converses, and decides about what is one's own

A route names the roles that may use it where it is written down (`Door.who`); there is no default. The tests
hold the whole matrix once more, and walk every route as every role.
"""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["owner", "curator", "trainer", "auditor", "expert"]
ROLES: tuple[Role, ...] = get_args(Role)
Roles = frozenset[str]

ANYONE: Roles = frozenset({"nobody", *ROLES})  # also who is not signed in
SIGNED_IN: Roles = frozenset(ROLES)
OWNER: Roles = frozenset({"owner"})
AUDITING: Roles = frozenset({"owner", "auditor"})
GIVING: Roles = frozenset({"owner", "curator", "expert"})  # who may answer questions and converse
GUIDING: Roles = frozenset({"owner", "curator"})  # who may see and settle what others gave
