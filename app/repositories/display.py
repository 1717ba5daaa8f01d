"""The way back from values to JSON: what GET /config shows, and its hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.accounts.rights import EVERYBODY
from app.repositories.values import Referenced
from app.resource import Repository, UpstreamOptions

HIDDEN = "***"
_SECRET_NAME = re.compile(r"auth|cookie|credential|key|pass|secret|token", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bans:
    """`ban_tags` of one remote as the file says it, in its order."""

    enabled: bool = False
    tags: tuple[str, ...] = ()


def effective(
    remotes: Mapping[str, Repository],
    hosted: Mapping[str, Repository],
    virtuals: Mapping[str, Repository],
    bans: Mapping[str, Bans],
) -> dict[str, dict[str, dict[str, Any]]]:
    """Every repository with every value in force, keyed as in remotes.json, without a secret."""
    return {
        "remotes": {name: _remote(each, bans.get(name, Bans())) for name, each in remotes.items()},
        "virtuals": {name: _virtual(each) for name, each in virtuals.items()},
        "locals": {name: _local(each) for name, each in hosted.items()},
    }


def sha256(shown: Mapping[str, Any]) -> str:
    """The hash, in hex, of the effective configuration: equal on nodes that serve the same."""
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def _local(repository: Repository) -> dict[str, Any]:
    return {
        "package": repository.package,
        "description": repository.description,
        "overwrite": repository.overwrite,
        "verify_on_read": repository.verify_on_read,
        "access": repository.access or EVERYBODY,
        "project": repository.project,
        **({"repodata_depth": repository.repodata_depth} if repository.package == "rpm" else {}),
        **_owned(repository),
        **_signing(repository),
    }


def _virtual(repository: Repository) -> dict[str, Any]:
    return {
        "package": repository.package,
        "description": repository.description,
        "members": list(repository.members),
        "access": repository.access or EVERYBODY,
        **_signing(repository),
    }


def _owned(repository: Repository) -> dict[str, Any]:
    return {"owned": list(repository.owned)} if repository.owned else {}


def _signing(repository: Repository) -> dict[str, Any]:
    if not repository.signing.key:
        return {}
    return {"signing_key": HIDDEN, "signing_key_name": repository.signing.name}


def _remote(repository: Repository, bans: Bans) -> dict[str, Any]:
    return {
        "package": repository.package,
        "description": repository.description,
        **_source(repository),
        "immutable_patterns": [each.pattern for each in repository.immutable_patterns],
        "mutable_patterns": [each.pattern for each in repository.mutable_patterns],
        "cache": {
            "immutable_ttl": _seconds(repository.immutable_ttl or 0.0),
            "mutable_ttl": _seconds(repository.mutable_ttl),
        },
        "check_mutable_updates": repository.check_mutable_updates,
        "on_upstream_gone": repository.on_upstream_gone,
        "upstream": _upstream(repository.upstream),
        **_credentials(repository),
        "offline": repository.offline,
        "verify_on_read": repository.verify_on_read,
        "access": repository.access or EVERYBODY,
        **_owned(repository),
        **(_docker(repository, bans) if repository.package == "docker" else {}),
    }


def sources(repository: Repository) -> tuple[str, ...]:
    """Where a remote's upstream is, or its list of mirrors: of that no query, for it may hold a key."""
    lists = (repository.metalink, repository.mirrorlist)
    return repository.base_urls or tuple(re.sub(r"\?.*", f"?{HIDDEN}", url) for url in lists if url)


def _source(repository: Repository) -> dict[str, Any]:
    match repository, sources(repository):
        case Repository(metalink=str()), (one,):
            return {"metalink": one}
        case Repository(mirrorlist=str()), (one,):
            return {"mirrorlist": one}
        case _, (one,):
            return {"base_url": one}
        case _, several:
            return {"base_urls": list(several)}


def _docker(repository: Repository, bans: Bans) -> dict[str, Any]:
    return {
        "serves": list(repository.serves),
        "hosts": list(repository.hosts),
        "default": repository.default,
        "ban_tags_enabled": bans.enabled,
        "ban_tags": list(bans.tags),
    }


def _credentials(repository: Repository) -> dict[str, str]:
    shown = {}
    if repository.username is not None:
        shown["username"] = HIDDEN if isinstance(repository.username, Referenced) else repository.username
    if repository.password is not None:
        shown["password"] = HIDDEN
    return shown


def _upstream(options: UpstreamOptions) -> dict[str, Any]:
    """The options that are set; a proxy keeps its host and loses its credentials."""
    values = {each.name: getattr(options, each.name) for each in dataclasses.fields(options)}
    values["headers"] = {name: _header(name, value) for name, value in options.headers.items()}
    values["proxy"] = options.proxy and _without_userinfo(options.proxy)
    values["auth_hosts"] = list(options.auth_hosts) or None
    return {
        key: _seconds(value) if isinstance(value, float) else value
        for key, value in values.items()
        if value is not None
    }


def _header(name: str, value: str) -> str:
    return HIDDEN if isinstance(value, Referenced) or _SECRET_NAME.search(name) else value


def _without_userinfo(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{HIDDEN if userinfo else ''}{at}{host}").geturl()


def _seconds(value: float | None) -> float | int | str:
    if value is None:
        return "forever"
    return int(value) if value.is_integer() else value
