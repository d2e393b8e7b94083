"""The whole schema of the service database: the tables of all rooms, and its version.

What was released is never changed, only added to: a table, an index, or a column that may be null or has a
server default. Whoever adds one raises NEWEST: a database of an older version is then given what it lacks
when it is opened, and a program that is older than its database stops.
"""

from __future__ import annotations

import sqlalchemy as sa

from bapsim.serve.people import desk_tables, room_tables, tables

NEWEST = 3
META = tables.META
ROOMS = (desk_tables, room_tables)  # their tables are in it once they are imported
TABLES: tuple[sa.Table, ...] = tuple(META.sorted_tables)  # what others depend on comes first
WORDS = tuple(one for one in TABLES if "consent" in one.c)  # they hold what people said, under a consent
