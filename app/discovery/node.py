""".npmrc. Source: npm's documentation, "npmrc", "config" (registry, @scope:registry, //host/:_authToken)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from app.discovery.found import Address, Found, Note, address

NPM = "npm"
_SECRET = re.compile(r"//(.+?)/?:(_authToken|_auth|_password|username)")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


def npmrc(text: str, environ: Mapping[str, str]) -> Iterator[Found]:
    """The registry, and one for each scope; whether there are credentials for it."""
    told = dict(_lines(text, environ))
    secrets = {match[1]: match[2] for key in told if (match := _SECRET.fullmatch(key))}
    for key, value in told.items():
        scope = re.fullmatch(r"(?:@([^:]+):)?registry", key)
        if scope is None or not value:
            continue
        name, certificate = f"{NPM}-{scope[1]}" if scope[1] else NPM, told.get("cafile", "")
        found = address(NPM, value, name, beside=bool(scope[1]), ca_file=certificate)
        yield _with_secret(found, secrets) if isinstance(found, Address) else found
    if "_auth" in told or "_authToken" in told:
        yield Note("_auth: credentials that belong to no registry are not taken over")


def _with_secret(found: Address, secrets: Mapping[str, str]) -> Found:
    place = found.url.partition("://")[2]
    kind = next((secrets[each] for each in (place, place.partition("/")[0]) if each in secrets), "")
    if not kind:
        return found
    login = "basic" if kind in ("_password", "username") else "header"
    return replace(found, login=login)


def _lines(text: str, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(key, value) with the environment's variables put in."""
    for line in text.splitlines():
        if line.strip().startswith(("#", ";")) or "=" not in line:
            continue
        key, _, value = line.partition("=")
        plain = value.strip().strip("\"'")
        yield key.strip(), _VARIABLE.sub(lambda match: environ.get(match[1], match[0]), plain)


def environment(environ: Mapping[str, str]) -> Iterator[Found]:
    """npm_config_registry, in whatever case."""
    for key, value in environ.items():
        if key.lower() == "npm_config_registry" and value:
            yield address(NPM, value, NPM)
