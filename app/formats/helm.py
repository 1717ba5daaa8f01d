"""helm: hosted here, not proxied yet; charts, their signatures, and index.yaml."""

from __future__ import annotations

from app.formats.hosted import Hosted

HELM = Hosted("helm")
