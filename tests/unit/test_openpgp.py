"""Signing with an OpenPGP key: what gpg verifies, and a key that cannot sign is found when it is read."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from pysequoia import Cert, Sig, Tsk, verify

from app import repositories
from app.formats import openpgp
from app.problems import ConfigError
from app.resource import Signing

TEXT = b"Origin: team\nSuite: stable\n- a dash\n trailing space \n"
NOW = time.time()


@pytest.fixture(scope="module")
def signing() -> Signing:
    return Signing(str(Tsk.generate("Team <team@example.org>")))


def certificate(signing: Signing) -> Cert:
    return Cert.from_bytes(openpgp.public_key(signing))


def test_a_signature_beside_a_file(signing: Signing) -> None:
    armoured = openpgp.sign_detached(signing, TEXT, NOW)
    assert armoured.startswith(b"-----BEGIN PGP SIGNATURE-----")
    told = verify(bytes=TEXT, store=lambda _: [certificate(signing)], signature=Sig.from_bytes(armoured))
    assert len(told.valid_sigs) == 1


def test_a_signature_around_a_text(signing: Signing) -> None:
    signed = openpgp.sign_cleartext(signing, TEXT, NOW)
    assert signed.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----")
    told = verify(bytes=signed, store=lambda _: [certificate(signing)])
    assert len(told.valid_sigs) == 1
    assert b"- - a dash\n" in signed


def test_the_public_key_has_no_secret(signing: Signing) -> None:
    shown = openpgp.public_key(signing)
    assert shown.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert b"PRIVATE" not in shown
    assert signing.key not in repr(signing)


def test_an_expired_key_signs_no_more() -> None:
    signing = Signing(str(Tsk.generate("Team <team@example.org>", validity_seconds=86400)))
    expires = certificate(signing).expiration
    assert expires is not None
    with pytest.raises(openpgp.Unsignable, match="expired"):
        openpgp.sign_detached(signing, TEXT, expires.timestamp() + 1)


@pytest.mark.parametrize(
    ("key", "password", "reason"),
    [
        ("nonsense", "", "not an OpenPGP key"),
        (
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxVgE\n-----END PGP PRIVATE KEY BLOCK-----",
            "",
            "not an OpenPGP key",
        ),
        ("public", "", "this key cannot sign"),
        ("secret", "a password that it has not", "this key cannot sign: the password does not open it"),
    ],
)
@pytest.mark.parametrize("package", ["rpm", "deb"])
def test_a_key_that_cannot_sign_refuses_to_start(
    signing: Signing, tmp_path: Path, package: str, key: str, password: str, reason: str
) -> None:
    said = {"public": openpgp.public_key(signing).decode(), "secret": signing.key}.get(key, key)
    local = {"package": package, "signing_key": said} | ({"signing_key_password": password} if password else {})
    file = tmp_path / "remotes.json"
    file.write_text(json.dumps({"locals": {"team": local}}))
    with pytest.raises(ConfigError, match=rf"locals\.team\.signing_key: {reason}") as raised:
        repositories.load(file)
    assert len(str(raised.value).splitlines()) == 1
    assert said[60:120] not in str(raised.value) or not said[60:120]
