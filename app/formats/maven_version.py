"""Which of two Maven versions is the newer one.

Source: maven.apache.org/pom.html, "Version Order Specification". A version is numbers and words; a dot, a hyphen, or
nothing between a digit and a letter stands before each. What says nothing (0, "", ga, final, release) is dropped from
the end, and before every hyphen.

    alpha < beta < milestone < rc < snapshot < "" < sp < other words < a number behind "-" < a number behind "."
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cmp_to_key
from itertools import zip_longest

_TOKEN = re.compile(r"([.-]?)([0-9]+|[^0-9.-]*)")
_WORDS = ("alpha", "beta", "milestone", "rc", "snapshot", "", "sp")
_SHORT = {"a": "alpha", "b": "beta", "m": "milestone"}  # where a digit follows at once
_SAME = {"ga": "", "final": "", "release": "", "cr": "rc"}

Weight = tuple[int, int, str]  # words are (0, place among the known ones, word), numbers (1 or 2, number, "")

_NO_WORD, _NO_NUMBER = (0, _WORDS.index(""), ""), (2, 0, "")
_NOTHING = (_NO_WORD, _NO_NUMBER, (1, 0, ""))


def ordered(versions: Iterable[str]) -> list[str]:
    """Each version once, oldest first; those that Maven takes for the same by their letters."""
    weighed = sorted((version, weights(version)) for version in set(versions))
    return [version for version, _ in sorted(weighed, key=cmp_to_key(_newer))]


def compared(one: str, other: str) -> int:
    """Negative where `one` is the older version, 0 where Maven takes both for the same."""
    return _compared(weights(one), weights(other))


def _newer(one: tuple[str, Sequence[Weight]], other: tuple[str, Sequence[Weight]]) -> int:
    return _compared(one[1], other[1])


def _compared(one: Sequence[Weight], other: Sequence[Weight]) -> int:
    for left, right in zip_longest(one, other):
        left, right = left or _padding(right), right or _padding(left)
        if left != right:
            return -1 if left < right else 1
    return 0


def weights(version: str) -> Sequence[Weight]:
    """What the version is compared by."""
    found: list[Weight] = []
    tokens = [each for each in _TOKEN.findall(version.lower()) if each != ("", "")]
    for (sign, text), (next_sign, following) in zip(tokens, [*tokens, (".", "")][1:], strict=True):
        if text.isdigit() or not text:
            behind = 2 if sign == "." or (not found and not sign) else 1
            weight = (behind, int(text or "0"), "")
        else:
            word = _SHORT.get(text, text) if not next_sign and following.isdigit() else text
            weight = _word(_SAME.get(word, word))
        if weight[0] < 2:
            _trim(found)
        found.append(weight)
    _trim(found)
    return found


def _word(word: str) -> Weight:
    return (0, _WORDS.index(word), word) if word in _WORDS else (0, len(_WORDS), word)


def _trim(found: list[Weight]) -> None:
    while found and found[-1] in _NOTHING:
        found.pop()


def _padding(beside: Weight | None) -> Weight:
    """What stands for nothing where the other version goes on."""
    return _NO_NUMBER if beside and beside[0] == 2 else _NO_WORD
