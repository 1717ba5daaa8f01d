"""What a published file may be called: what every path may be, and two names that look alike are not both taken.

Names are keys here and never the names of files on this server's disk, so what a system reserves (CON, a dot at the
end) means nothing; so a file `a` may stand beside files in `a/`.
"""

from __future__ import annotations

import unicodedata

from app import paths
from app.errors import BadRequest

UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})  # Unicode's general categories (UAX 44, 5.7.1)


def require_name(path: str) -> None:
    """Raise BadRequest "bad_path" for what no file may be published as."""
    paths.check(path)
    if not path or path.endswith("/"):
        raise _refusal("names no file")
    if path.isascii() and " " not in path:
        return
    if not unicodedata.is_normalized("NFC", path):
        raise _refusal("is not in Unicode's composed form (NFC)")
    if any(unicodedata.category(character) in UNSEEN for character in path):
        raise _refusal("has a character that nobody sees")
    if any(segment != segment.strip() for segment in path.split("/")):
        raise _refusal("has a segment that begins or ends with a space")


def _refusal(reason: str) -> BadRequest:
    return BadRequest(f"the path {reason}", code="bad_path")
