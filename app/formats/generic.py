"""What is odd about plain files over HTTP: nothing; without patterns every path is revalidated."""

from __future__ import annotations

from app.formats.base import PathRules

GENERIC = PathRules("generic", merged=True)
