"""Configurations of dnf, apt and apk. Source: dnf.conf(5), sources.list(5), apk-repositories(5), apk-keys(5)."""

from __future__ import annotations

from collections.abc import Iterator

from app.errors import Invalid
from app.setup.place import PLACEHOLDER, Place, comment, with_token


def repo(place: Place) -> str:
    """For /etc/yum.repos.d."""
    lines = [f"[{place.name}]", f"name={place.name}", f"baseurl={place.tree}/", "enabled=1", *_checks(place)]
    if place.private:
        lines += ["username=token", f"password={PLACEHOLDER}"]
    return comment(place) + _hint(place) + "\n".join(lines) + "\n"


def _checks(place: Place) -> Iterator[str]:
    """Upstream's packages are signed with upstream's keys, also as members of a virtual; of what is made here the
    index is, which names every package by its checksum."""
    key, trusted, signed = place.option("key"), place.option("trusted"), place.own and place.signed
    yield f"gpgcheck={int(bool(key) or not (place.own or trusted))}"
    if place.own:
        yield f"repo_gpgcheck={int(signed and not trusted)}"
    keys = [f"{place.tree}/repodata/repomd.xml.key"] if signed and not trusted else []
    if key:
        keys.append(f"file://{key}" if key.startswith("/") else f"{place.url}/{key}")
    if keys:
        yield f"gpgkey={' '.join(keys)}"


def _hint(place: Place) -> str:
    """What to ask for where a client would refuse everything that it has no key for."""
    if place.own or place.option("key") or place.option("trusted"):
        return ""
    return "# no key is named here: ask with ?key= for one, or with ?trusted=yes where nothing is signed\n"


def sources(place: Place) -> str:
    """For /etc/apt/sources.list.d; the public key of what is signed here stands in it."""
    lines = [
        "Types: deb",
        f"URIs: {place.tree}",
        f"Suites: {place.option('suites', 'stable')}",
        f"Components: {place.option('components', 'main')}",
        *_trust(place),
    ]
    return _apt(place) + "\n".join(lines) + "\n"


def one_line(place: Place) -> str:
    """The same for a name that ends in .list, which apt reads as one line for each suite. No key fits in there."""
    suites, components = place.option("suites", "stable").split(), place.option("components", "main")
    key, saved = _key(place), ""
    if not key and place.signed and not place.option("trusted"):
        key = f"/etc/apt/keyrings/{place.name}.asc"
        login = f" -u token:{PLACEHOLDER}" if place.private else ""
        saved = f"# the key: curl{login} -fo {key} {place.tree}/dists/{suites[0]}/Release.key\n"
    told = f" [signed-by={key}]" if key else " [trusted=yes]" if place.own or place.option("trusted") else ""
    lines = (f"deb{told} {place.tree} {suite} {components}\n" for suite in suites)
    return _apt(place) + saved + "".join(lines)


def _apt(place: Place) -> str:
    """What stands before either."""
    where = f"machine {place.url} login token password {PLACEHOLDER}"
    return comment(place) + (f"# in /etc/apt/auth.conf.d: {where}\n" if place.private else "") + _hint(place)


def _key(place: Place) -> str:
    """The client's own file. Raises Invalid for another: left out, nothing would be checked by it."""
    key = place.option("key")
    if key and not key.startswith("/"):
        reason = "apt reads keys from files of its own: save it, and name that file, which begins with a /."
        raise Invalid("what is asked for is not valid: key", {"key": [reason]})
    return key


def _trust(place: Place) -> Iterator[str]:
    if place.option("trusted"):
        yield "Trusted: yes"
    elif key := _key(place):
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
