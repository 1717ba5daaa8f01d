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
        shown = "any" if settings.auth == "open" else shown  # most clients send nothing unless they have a word
        host = urllib.parse.urlsplit(url).netloc
        return _PUBLISHERS[repository.package].format(name=repository.name, url=url, host=host, token=shown)
    client, unknown = _CLIENTS.get(repository.package, _CURL)
    source, *_ = (*repository.base_urls, "")
    tail = next((path for site, path in _TREES.items() if site in source), unknown if source else "")
    host, setup = urllib.parse.urlsplit(url).netloc, url.replace("/repository/", "/setup/", 1)
    return client.format(name=repository.name, url=url, host=host, tail=tail, setup=setup)


_CURL = ("curl -fLO {url}{tail}", "/PATH")
# package -> the client's line, and what stands for a path that is not known; no line touches a file of the user's own
_CLIENTS = {
    "rpm": ("dnf --repofrompath='{name},{url}{tail}' --repo={name} install PACKAGE", "/PATH"),
    "apk": ("apk add --repository {url}{tail} PACKAGE", "/PATH"),
    "docker": ("docker pull {host}/{name}{tail}", "/IMAGE"),
    "deb": (
        'echo "deb {url} $(. /etc/os-release; echo $VERSION_CODENAME) main" > /etc/apt/sources.list.d/{name}.list',
        "",
    ),
    "pypi": ("pip install --index-url {url}/simple/ PACKAGE", ""),
    "npm": ("npm install --registry {url}/ PACKAGE", ""),
    "helm": ("helm repo add {name} {url}", ""),
    "maven": ("curl -fo {name}.xml {setup}/settings.xml && mvn -s {name}.xml verify", ""),
    "go": ("GOPROXY={url} go mod download", ""),
    "cargo": ("curl -fo {name}.toml {setup}/config.toml && cargo fetch --config {name}.toml", ""),
    "conda": ("conda install --override-channels -c {url} PACKAGE", ""),
    "rubygems": ("gem install PACKAGE --clear-sources --source {url}/", ""),
    "nuget": ("nuget install PACKAGE -Source {url}/index.json", ""),
    "terraform": ("curl -fo {name}.tfrc {setup}/.terraformrc && TF_CLI_CONFIG_FILE={name}.tfrc terraform init", ""),
    "puppet": ("puppet module install MODULE --module_repository {url}", ""),
}
_SENDING = "curl --fail-with-body -u admin:{token} -T"
# package -> how its own client publishes; README.md, Publishing
_PUBLISHERS = {
    "generic": f"{_SENDING} FILE {{url}}/FILE",
    "rpm": f"{_SENDING} PACKAGE.rpm {{url}}/",
    "apk": f"{_SENDING} PACKAGE.apk {{url}}/main/x86_64/",
    "deb": f"{_SENDING} PACKAGE.deb {{url}}/pool/stable/main/",
    "docker": "docker login -u admin -p {token} {host} && docker push {host}/{name}/IMAGE",
    "maven": "mvn deploy, with {url} in distributionManagement and the token in settings.xml",
    "pypi": "twine upload --repository-url {url}/ -u __token__ -p {token} dist/*",
    "npm": "npm publish --registry {url}/ --//{host}/repository/{name}/:_authToken={token}",
    "helm": f"{_SENDING} CHART.tgz {{url}}/",
    "go": f"{_SENDING} VERSION.zip {{url}}/MODULE/@v/",
}
_TREES = {  # where the path is known
    "almalinux": "/$releasever/BaseOS/$basearch/os",
    "alpine": "/latest-stable/main",
    "docker.io": "/library/alpine",
}
