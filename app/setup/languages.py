"""Configurations of pip and uv, npm and yarn, cargo, go, gem and bundler, conda.

Source: pip, "Configuration"; uv, "Package indexes"; npm, "npmrc"; yarn, "yarnrc"; The Cargo Book,
"Source Replacement", "Registry Authentication"; go.dev/ref/mod; `gem help environment`; bundler, "bundle config";
docs.conda.io, ".condarc".
"""

from __future__ import annotations

import json
import shlex

from app.setup.place import PLACEHOLDER, Place, comment, with_token

TOML_SAFE = json.dumps  # a basic string of TOML takes what one of JSON does, but for DEL, which no URL has


def pip(place: Place) -> str:
    """For /etc/pip.conf, or ~/.config/pip/pip.conf."""
    lines = ["[global]", f"index-url = {with_token(place)}/simple/"]
    if place.plain:
        lines.append(f"trusted-host = {place.host}")
    return comment(place) + "\n".join(lines) + "\n"


def uv(place: Place) -> str:
    """For /etc/uv/uv.toml, or ~/.config/uv/uv.toml."""
    lines = [
        f"[[index]]\nname = {TOML_SAFE(place.name)}",
        f"url = {TOML_SAFE(f'{place.url}/simple/')}",
        "default = true",
    ]
    if place.private:
        variable = "".join(each if each.isalnum() else "_" for each in place.name.upper())
        lines.insert(0, f"# UV_INDEX_{variable}_USERNAME=token UV_INDEX_{variable}_PASSWORD={PLACEHOLDER}")
    host = f"allow-insecure-host = [{TOML_SAFE(place.host)}]\n" if place.plain else ""
    return comment(place) + host + "\n".join(lines) + "\n"


def npmrc(place: Place) -> str:
    """For ~/.npmrc."""
    scope = _scope(place)
    lines = [f"@{scope}:registry={place.url}/" if scope else f"registry={place.url}/"]
    if place.private:
        lines.append(f"//{place.url.partition('://')[2]}/:_authToken={PLACEHOLDER}")
    return comment(place) + "\n".join(lines) + "\n"


def yarnrc(place: Place) -> str:
    """For ~/.yarnrc.yml."""
    told = {"npmRegistryServer": f"{place.url}/", **({"npmAuthToken": PLACEHOLDER} if place.private else {})}
    scope = _scope(place)
    indent = "    " if scope else ""
    lines = [f"{indent}{key}: {json.dumps(value)}" for key, value in told.items()]
    if scope:
        lines = ["npmScopes:", f"  {json.dumps(scope)}:", *lines]
    if place.plain:
        lines.append(f"unsafeHttpWhitelist: [{json.dumps(place.host.rpartition(':')[0] or place.host)}]")
    return comment(place) + "\n".join(lines) + "\n"


def cargo(place: Place) -> str:
    """For ~/.cargo/config.toml. Remotes stand for crates.io; what is published here has a name of its own."""
    index = TOML_SAFE(f"sparse+{place.url}/")
    table = TOML_SAFE(place.name)
    lines = [f"[registries.{table}]", f"index = {index}"]
    if place.private:
        lines.append(f"token = {TOML_SAFE(f'Bearer {PLACEHOLDER}')}")
        lines.append('credential-provider = "cargo:token"')  # without one cargo sends no token, and fails
    lines += ["", "[source.crates-io]", f"replace-with = {table}", "", f"[source.{table}]", f"registry = {index}"]
    return comment(place) + "\n".join(lines) + "\n"


def go(place: Place) -> str:
    """For a shell, and for systemd's EnvironmentFile."""
    lines = [f"GOPROXY={shlex.quote(with_token(place))}"]
    if place.plain:
        lines.append(f"GOINSECURE={shlex.quote(place.host)}")
    return comment(place) + "\n".join(lines) + "\n"


def gem(place: Place) -> str:
    """For ~/.gemrc."""
    return comment(place) + f"---\n:sources:\n- {json.dumps(f'{with_token(place)}/')}\n"


def bundler(place: Place) -> str:
    """For ~/.bundle/config."""
    lines = ["---", f"BUNDLE_MIRROR__ALL: {json.dumps(f'{with_token(place)}/')}"]
    return comment(place) + "\n".join(lines) + "\n"


def conda(place: Place) -> str:
    """For ~/.condarc."""
    lines = [
        "channels:",
        f"  - {json.dumps(with_token(place))}",
        "default_channels:",
        f"  - {json.dumps(place.url)}",
    ]
    return comment(place) + "\n".join(lines) + "\n"


def _scope(place: Place) -> str:
    return place.option("scope").removeprefix("@")
