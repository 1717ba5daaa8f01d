"""Helm's repositories.yaml. Source: helm.sh/docs, "helm repo add"."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from app.discovery.found import Found, address


def repositories(text: str) -> Iterator[Found]:
    """Raises ValueError."""
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("is no YAML") from None
    listed = told.get("repositories") if isinstance(told, dict) else None
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and "url" in each:
            login = "basic" if each.get("username") else ""
            name, certificate = str(each.get("name", "helm")), str(each.get("caFile") or "")
            yield address("helm", str(each["url"]), name, login=login, ca_file=certificate)
