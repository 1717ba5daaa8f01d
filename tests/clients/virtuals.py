"""One node for the virtual repositories of system packages: of each, a local and two remotes shown as one.

<package>-all      of <package>-team (local), <package>-one, <package>-two; `-signed` the same with a key
<package>-chain    a remote whose upstream is <package>-all of the same node
"""

from __future__ import annotations

import itertools
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pysequoia import Tsk

from tests.clients.nginx import Nginx
from tests.conftest import require
from tests.stack import Stack, StackFactory, free_port

PACKAGES = ("rpm", "apk", "deb")
TOKEN = "an-admin-token-of-the-tests"
KEY_NAME = "virtual@example.org-1.rsa.pub"
_DIRECTORIES = (f"d{number}" for number in itertools.count())


@dataclass(frozen=True, slots=True)
class Virtual:
    """A virtual repository, and what is behind it, at a directory that no other test uses."""

    stack: Stack
    package: str
    directory: str
    one: Nginx
    two: Nginx
    openpgp_public: str
    rsa_public: str

    def url(self, name: str = "all") -> str:
        """What a client is configured with: all, signed, some, chain, team; of deb, the directory is the suite."""
        below = "" if self.package == "deb" else f"/{self.directory}"
        return f"{self.stack.url}/repository/{self.package}-{name}{below}"

    def root(self, upstream: Nginx) -> Path:
        """Where an upstream's files of this directory are."""
        return upstream.root / self.directory

    def publish(self, method: str, path: str, body: bytes) -> None:
        """Publish into the local member."""
        status, _, said = self.ask(method, f"{self.url('team')}{path}", body)
        assert status == 201, said

    def ask(self, method: str, url: str, body: bytes | None = None) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body, whatever the status."""
        request = urllib.request.Request(url, body, {"Authorization": f"Bearer {TOKEN}"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _headers(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _headers(error.headers), error.read()


def _headers(found: Message) -> Mapping[str, str]:
    return {name: ", ".join(found.get_all(name, [])) for name in found}


def _document(upstreams: Mapping[str, Nginx], own: str) -> dict[str, object]:
    remotes: dict[str, object] = {}
    locals_: dict[str, object] = {}
    virtuals: dict[str, object] = {}
    for package in PACKAGES:
        names = [f"{package}-{name}" for name in ("team", "one", "two")]
        for name in names[1:]:
            remotes[name] = {"package": package, "base_url": upstreams[name].url, "cache": {"mutable_ttl": 1}}
        locals_[names[0]] = {"package": package, **({"repodata_depth": 1} if package == "rpm" else {})}
        remotes[f"{package}-dead"] = {"package": package, "base_url": f"http://127.0.0.1:{free_port()}"}
        virtuals[f"{package}-some"] = {"package": package, "members": [names[0], f"{package}-dead", names[2]]}
        virtuals[f"{package}-all"] = {"package": package, "members": names}
        key: dict[str, object] = {"signing_key": {"env": "TEST_RSA" if package == "apk" else "TEST_OPENPGP"}}
        named = {"signing_key_name": KEY_NAME} if package == "apk" else {}
        virtuals[f"{package}-signed"] = {"package": package, "members": names, **key, **named}
        chain = f"{own}/repository/{package}-all"
        remotes[f"{package}-chain"] = {"package": package, "base_url": chain, "cache": {"mutable_ttl": 1}}
    return {"remotes": remotes, "locals": locals_, "virtuals": virtuals}


@pytest.fixture(scope="session")
def virtual_upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Nginx]]:
    """An nginx for each remote."""
    nginx, work = require("nginx"), tmp_path_factory.mktemp("virtual-upstreams")
    names = [f"{package}-{name}" for package in PACKAGES for name in ("one", "two")]
    found = {name: Nginx(nginx, work / name) for name in names}
    try:
        for each in found.values():
            each.start()
        yield found
    finally:
        for each in found.values():
            each.close()
        shutil.rmtree(work)


@pytest.fixture(scope="session")
def virtual_node(
    virtual_upstreams: dict[str, Nginx], stack_factory: StackFactory
) -> Iterator[tuple[Stack, dict[str, Nginx], str, str]]:
    """The node, its upstreams, and the public keys: OpenPGP, RSA."""
    key = Tsk.generate("Virtual <virtual@example.org>")
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = pair.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = pair.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    settings = {"ADMIN_TOKEN": TOKEN, "TEST_OPENPGP": str(key), "TEST_RSA": secret}
    stack: Stack = stack_factory({}, "virtuals", **settings)
    stack.configure(_document(virtual_upstreams, stack.url))
    yield stack.start(), virtual_upstreams, str(key.extract_certificate()), public.decode()
    stack.stop()


@pytest.fixture
def virtual(request: pytest.FixtureRequest, virtual_node: tuple[Stack, dict[str, Nginx], str, str]) -> Virtual:
    """The virtual of the package that the test's module is about (PACKAGE), in a fresh directory."""
    stack, upstreams, openpgp, public = virtual_node
    package: str = request.module.PACKAGE
    one, two = upstreams[f"{package}-one"], upstreams[f"{package}-two"]
    return Virtual(stack, package, next(_DIRECTORIES), one, two, openpgp, public)
