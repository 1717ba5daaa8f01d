"""Which Accept headers registries tell apart, and what upstream is asked for.

Source: RFC 9110, 12.5.1; OCI distribution-spec, content-negotiation.md (what registries make of it).
"""

from __future__ import annotations

import re

from app.formats.oci_manifests import MANIFEST_TYPES, SCHEMA1

LONGEST = 8190  # characters of an Accept that are read: one line of it is no longer, and clients send a few hundred

_WILD = frozenset({"*/*", "application/*", "application/json"})  # "I know nothing of manifests", as is no Accept
_REFUSED = re.compile(r"q\s*=\s*0(?:\.0*)?")  # RFC 9110, 12.4.2
_SHORT = dict(zip(MANIFEST_TYPES, ("index", "manifest", "list", "v2"), strict=True))


def negotiated(accept: str) -> tuple[str, str]:
    """(the class that a client's Accept is of, what upstream is asked for on behalf of that class).

    Only what registries tell apart makes a class: schema 1 too, which some answer where it is all that fits. Who
    takes all four kinds gets the same, whatever else it takes.
    """
    asked = _accepted(accept[:LONGEST])
    known = [kind for kind in MANIFEST_TYPES if kind in asked]
    old = [kind for kind in SCHEMA1 if kind in asked]
    wild = ["*/*"] if asked & _WILD or not (known or old) else []
    if len(known) == len(MANIFEST_TYPES):
        variant = "all"
    elif known or wild:
        variant = "+".join([_SHORT[kind] for kind in known] + ["any"] * bool(wild) + ["old"] * bool(old))
    else:
        variant = "schema1"
    return variant, ", ".join((*known, *old, *wild))


def _accepted(accept: str) -> frozenset[str]:
    """Media types in lower case, without those of quality 0."""
    ranges = [[part.strip() for part in each.split(";")] for each in accept.lower().split(",")]
    return frozenset(kind for kind, *rest in ranges if not any(_REFUSED.fullmatch(each) for each in rest))
