"""What single response headers mean."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

LONGEST_REST = 3600.0  # seconds; an upstream that asks for more is asked again after an hour


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """Seconds until upstream wants to be asked again (RFC 9110, 10.2.3), 0 for none or nonsense."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_REST)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - now, 0.0), LONGEST_REST)
    except (ValueError, TypeError, OverflowError):
        return 0.0
