"""Configurations of dnf, apt and apk. Source: dnf.conf(5), sources.list(5), apk-repositories(5), apk-keys(5)."""

from __future__ import annotations

from collections.abc import Iterator

from app.setup.place import PLACEHOLDER, Place, comment, with_token


def repo(place: Place) -> str:
    """For /etc/yum.repos.d."""
    lines = [f"[{place.name}]", f"name={place.name}", f"baseurl={place.tree}/", "enabled=1", *_checks(place)]
    if place.private:
        lines += ["username=token", f"password={PLACEHOLDER}"]
    return comment(place) + "\n".join(lines) + "\n"


def _checks(place: Place) -> Iterator[str]:
    """Upstream's packages are signed with upstream's keys; of what is made here the index is, which names every
    package by its checksum."""
    key = place.option("key")
    if place.own:
        yield "gpgcheck=0"
        yield f"repo_gpgcheck={int(place.signed)}"
        if place.signed:
            yield f"gpgkey={place.tree}/repodata/repomd.xml.key"
        return
    yield "gpgcheck=1"
    if key:
        yield f"gpgkey=file://{key}" if key.startswith("/") else f"gpgkey={place.url}/{key}"


def sources(place: Place) -> str:
    """For /etc/apt/sources.list.d; the public key of what is signed here stands in it."""
    lines = [
        "Types: deb",
        f"URIs: {place.tree}",
        f"Suites: {place.option('suites', 'stable')}",
        f"Components: {place.option('components', 'main')}",
        *_trust(place),
    ]
    login = (
        f"# in /etc/apt/auth.conf.d: machine {place.url} login token password {PLACEHOLDER}\n"
        if place.private
        else ""
    )
    return comment(place) + login + "\n".join(lines) + "\n"


def _trust(place: Place) -> Iterator[str]:
    key = place.option("key")
    if key.startswith("/"):
        yield f"Signed-By: {key}"
    elif place.signed:
        from app.formats import openpgp

        yield "Signed-By:"
        for line in openpgp.public_key(place.repository.signing).decode().strip().splitlines():
            yield f" {line.strip() or '.'}"
    elif place.own:
        yield "Trusted: yes"


def apk(place: Place) -> str:
    """For /etc/apk/repositories.d, or a line of /etc/apk/repositories."""
    path = place.option("path")
    return comment(place) + f"{with_token(place)}{f'/{path}' if path else ''}\n"


def apk_key(place: Place) -> str:
    """For /etc/apk/keys."""
    from app.formats import apk_signature

    return apk_signature.public_key(place.repository.signing).decode()
