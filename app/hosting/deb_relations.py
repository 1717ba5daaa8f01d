"""What a Debian package may say of others: over one relation that it cannot read apt-get stops, whoever's it is.

Source: Debian Policy 5.6.12, 7.1; deb-control(5); apt, apt-pkg/deb/deblistparser.cc (ParseDepends).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Field, in lower case, and whether one of several may do.
_RELATIONS = {
    **dict.fromkeys(("depends", "pre-depends", "recommends", "suggests", "enhances"), True),
    **dict.fromkeys(("breaks", "conflicts", "replaces", "provides"), False),
}
_NAME = r"[A-Za-z0-9][A-Za-z0-9+._-]{0,199}(?::[a-z0-9-]{1,64})?"
_VERSION = r"(?:[0-9]{1,9}:[0-9][A-Za-z0-9.+~:-]{0,199}|[0-9][A-Za-z0-9.+~-]{0,199})(?<!-)"
_RELATION = re.compile(rf"{_NAME}(?:\s*\(\s*(?:<<|<=|=|>=|>>|<|>)?\s*{_VERSION}\s*\))?")
_SHORT = re.compile(r"\(\s*[^\s)]{1,2}\)")  # at the end of a field apt takes it for a bracket left open

_BRIEF = frozenset({"section", "source", "priority"})
_BRIEFEST = 256  # characters; apt-get stops over one of 65,536

_ANSWERS = frozenset({"", "yes", "no"})
_WORDS = {  # of others apt-get complains each time
    "multi-arch": frozenset({"", "no", "same", "foreign", "allowed"}),
    **dict.fromkeys(("essential", "important", "protected"), _ANSWERS),
}


def check(fields: Mapping[str, str]) -> None:
    """Raise ValueError for a field, by its name in lower case, that dpkg or apt cannot read."""
    for field, value in fields.items():
        known = _WORDS.get(field)
        if known is not None and (value.lower() if known is _ANSWERS else value) not in known:
            raise ValueError(f"has a field {field} that Debian does not take: {value[:80]!r}")
        if field in _BRIEF and len(value) > _BRIEFEST:
            raise ValueError(f"has a field {field} of more than {_BRIEFEST} characters")
        if field in _RELATIONS and value:
            _check(field, value)


def _check(field: str, value: str) -> None:
    for group in value.split(","):
        relations = group.split("|")
        for each in relations:
            if not _RELATION.fullmatch(each.strip()):
                raise ValueError(f"has a relation in {field} that Debian does not take: {each.strip()[:80]!r}")
        if len(relations) > 1 and not _RELATIONS[field]:
            raise ValueError(f"has alternatives in {field}, where Debian takes none: {group.strip()[:80]!r}")
    if _SHORT.fullmatch(value[value.rfind("(") :]):
        raise ValueError(f"has a relation in {field} that apt cannot read without a space: {value[-80:]!r}")
