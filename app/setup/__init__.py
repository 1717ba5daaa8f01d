"""Each client's ready configuration for a repository of this server, as text; pure.

place.py      what is written about, and what a client may say of it
system.py     dnf, apt, apk       images.py   containerd, podman, docker
languages.py  pip, uv, npm, yarn, cargo, go, gem, bundler, conda
others.py     Maven, NuGet, helm, Terraform, Puppet, curl
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from app.setup import images, languages, others, system
from app.setup.place import Place, Writer

__all__ = ["Place", "files", "writer"]

ANY = "{name}"
# package -> file -> how it is written; for {name}, which is the repository's, a client may have any other
_FILES: Mapping[str, Mapping[str, Writer]] = MappingProxyType(
    {
        "rpm": {"{name}.repo": system.repo},
        "deb": {"{name}.sources": system.sources, "{name}.list": system.one_line},
        "apk": {"repositories": system.apk, "{name}.list": system.apk},
        "docker": {
            "hosts.toml": images.hosts,
        },
        "pypi": {"pip.conf": languages.pip, "uv.toml": languages.uv},
        "npm": {".npmrc": languages.npmrc, ".yarnrc.yml": languages.yarnrc},
        "maven": {"settings.xml": others.maven},
        "cargo": {"config.toml": languages.cargo},
        "go": {"goproxy.env": languages.go},
        "helm": {"repositories.yaml": others.helm},
        "rubygems": {".gemrc": languages.gem, "bundle-config": languages.bundler},
        "nuget": {"NuGet.Config": others.nuget},
        "conda": {".condarc": languages.conda},
        "terraform": {".terraformrc": others.terraform},
        "puppet": {"puppet.conf": others.puppet},
    }
)


def files(place: Place) -> Mapping[str, Writer]:
    """Every file that there is for that repository, by its name."""
    return dict(_named(place))


def writer(place: Place, file: str) -> Writer | None:
    """How the file of that name is written; None where there is no such file."""
    endings = {
        name.removeprefix(ANY): each
        for name, each in _FILES.get(place.repository.package, {}).items()
        if name.startswith(ANY)
    }
    found = next((each for ending, each in endings.items() if file.endswith(ending)), None)
    return files(place).get(file) or found


def _named(place: Place) -> Iterator[tuple[str, Writer]]:
    for pattern, writer in _FILES.get(place.repository.package, {}).items():
        yield pattern.format(name=place.name), writer
    if place.repository.package == "docker" and not place.prefix:  # they have an image's name begin behind the host
        yield from (("registries.conf", images.registries), ("daemon.json", images.daemon))
    if place.repository.package == "apk" and place.signed:
        yield place.repository.signing.name or f"{place.name}.rsa.pub", system.apk_key
    yield "curl.txt", others.curl
