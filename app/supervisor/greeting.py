"""What `artifactapi run` tells whoever started it: the address, the token, and a line to paste per client."""

from __future__ import annotations

import shlex
import urllib.parse
from collections.abc import Iterable, Iterator

from app.config import Settings
from app.resource import Kind, Repository
from app.settings_values import UNIX
from app.supervisor.probe import reachable


def base_url(settings: Settings) -> str:
    """Where clients on this machine, or behind PUBLIC_URL's proxy, reach the server."""
    if settings.public_url:
        return settings.public_url
    if settings.host.startswith(UNIX):
        return "http://localhost"  # the proxy that the socket is for
    host = reachable(settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def greeting(settings: Settings, repositories: Iterable[Repository], token: str, seconds: float) -> Iterator[str]:
    """The lines, in order; the token is shown only where this server made it, and not where it is given as ""."""
    url = base_url(settings)
    yield f"artifactapi is ready at {url} ({seconds:.1f} s)"
    if settings.auth == "open":
        yield "  anyone may write and flush here: AUTH=open"
    elif settings.admin_token:
        yield "  admin token: as ADMIN_TOKEN says"
    else:
        file = settings.layout.admin_token
        yield f"  admin token: {token} (kept in {file})" if token else f"  admin token: kept in {file}"
    for repository in repositories:
        line = _line(repository, f"{url}/repository/{repository.name}", settings, token)
        yield f"  {repository.name}: {line}"


def _line(repository: Repository, url: str, settings: Settings, token: str) -> str:
    if repository.kind is Kind.LOCAL:
        read = f'"$(cat {shlex.quote(str(settings.layout.admin_token))})"'
        shown = '"$ADMIN_TOKEN"' if settings.admin_token else token or read
        key = "" if settings.auth == "open" else f" -u admin:{shown}"
        return f"curl -f{key} -T FILE {url}/FILE"
    client, unknown = _CLIENTS.get(repository.package, _CURL)
    source, *_ = (*repository.base_urls, "")
    tail = next((path for site, path in _TREES.items() if site in source), unknown if source else "")
    return client.format(name=repository.name, url=url, host=urllib.parse.urlsplit(url).netloc, tail=tail)


_CURL = ("curl -fLO {url}{tail}", "/PATH")
# package -> the client's line, and what stands for a path that is not known
_CLIENTS = {
    "rpm": ("dnf --repofrompath='{name},{url}{tail}' --repo={name} install PACKAGE", "/PATH"),
    "apk": ("apk add --repository {url}{tail} PACKAGE", "/PATH"),
    "docker": ("docker pull {host}/{name}{tail}", "/IMAGE"),
    "deb": (
        'echo "deb {url} $(. /etc/os-release; echo $VERSION_CODENAME) main" > /etc/apt/sources.list.d/{name}.list',
        "",
    ),
}
_TREES = {  # where the path is known
    "almalinux": "/$releasever/BaseOS/$basearch/os",
    "alpine": "/latest-stable/main",
    "docker.io": "/library/alpine",
}
