"""Addresses of licences as SPDX identifiers: what a page links to with rel="license"."""

from __future__ import annotations

import re

from bapsim.text.spdx import licence_id

_ADDRESSES = (  # pattern of an address in small letters, name that is looked up
    (r"creativecommons\.org/licenses/((?:by|nc|sa|nd)(?:-(?:nc|sa|nd))*)/(\d\.\d)", "CC-{}-{}"),
    (r"creativecommons\.org/publicdomain/zero/1\.0", "CC0-1.0"),
    (r"creativecommons\.org/publicdomain/mark/1\.0", "CC-PDM-1.0"),
    (r"gnu\.org/(?:licenses|copyleft)/(?:old-licenses/)?(gpl|lgpl|agpl|fdl)-(\d\.\d)", "{}-{}"),
    (r"gnu\.org/(?:licenses|copyleft)/(gpl|lgpl|agpl|fdl)\b", "{}"),
    (r"apache\.org/licenses/license-2\.0", "Apache-2.0"),
    (r"mozilla\.org/(?:en-us/)?mpl/(\d\.\d)", "MPL-{}"),
    (r"opendatacommons\.org/licenses/(odbl|by|pddl)\b", "odc-{}"),
    (r"spdx\.org/licenses/([\w.+-]+?)(?:\.html)?$", "{}"),
    (r"opensource\.org/licen[sc]es?/([\w.+-]+)", "{}"),
    (r"choosealicense\.com/licenses/([\w.+-]+)", "{}"),
    (r"nationalarchives\.gov\.uk/doc/open-government-licence/version/(\d)", "OGL-UK-{}.0"),
    (r"kogl\.or\.kr/.*?type0?([0-4])", "KOGL-{}"),
    (r"debian\.org/legal/licenses/([\w.+-]+)", "{}"),
)


def licence_of_url(url: str) -> str | None:
    """The licence that an address is known for, or None."""
    low = url.strip().lower()[:2000]
    for pattern, name in _ADDRESSES:
        if (m := re.search(pattern, low)) is not None:
            return licence_id(name.format(*m.groups()))
    return None
