"""One node with a local repository of each package, for every test of hosting in a session."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pysequoia import Tsk

from tests.stack import Stack, StackFactory

PACKAGES = ("generic", "rpm", "apk", "deb", "docker", "maven", "pypi", "npm", "helm")
TOKEN = "an-admin-token-of-the-tests"


@dataclass(frozen=True, slots=True)
class Keys:
    """What indexes are signed with: secret and public, in text."""

    openpgp: str
    openpgp_public: str
    rsa: str
    rsa_public: str


@pytest.fixture(scope="session")
def keys() -> Keys:
    key = Tsk.generate("Team <team@example.org>")
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    secret = pair.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = pair.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Keys(str(key), str(key.extract_certificate()), secret.decode(), public.decode())


@pytest.fixture(scope="session")
def hosted(stack_factory: StackFactory, keys: Keys) -> Stack:
    """Locals `<package>` (public), `private-<package>` (of project team), `signed-rpm`, `signed-deb`, `signed-apk`,
    and `open-<package>`, which may be overwritten. The administrator's token is TOKEN."""
    found: dict[str, dict[str, object]] = {}
    for package in PACKAGES:
        found[package] = {"package": package}
        found[f"private-{package}"] = {"package": package, "access": "team", "project": "team"}
        found[f"open-{package}"] = {"package": package, "overwrite": True}
    for package in ("rpm", "deb"):
        found[f"signed-{package}"] = {"package": package, "signing_key": {"env": "TEST_OPENPGP"}}
    found["signed-apk"] = {
        "package": "apk",
        "signing_key": {"env": "TEST_RSA"},
        "signing_key_name": "team@example.org-1.rsa.pub",
    }
    settings = {"ADMIN_TOKEN": TOKEN, "TEST_OPENPGP": keys.openpgp, "TEST_RSA": keys.rsa}
    found["deep-rpm"] = {"package": "rpm", "repodata_depth": 2}
    stack = stack_factory({"locals": found}, "hosted", **settings)
    before = {  # remotes whose upstream are our own locals
        f"before-{name}": {"package": name.rpartition("-")[2], "base_url": f"{stack.url}/repository/{name}"}
        for name in ("rpm", "signed-apk", "signed-deb")
    }
    stack.configure({"locals": found, "remotes": before})
    return stack.start()
