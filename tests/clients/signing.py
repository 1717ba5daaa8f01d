"""Knows how repositories are signed: one key without a passphrase in a GNUPGHOME of its own."""

from __future__ import annotations

from pathlib import Path

from tests.clients.commands import run

_OWNER = "tests@example.org"


class Key:
    """A signing key and the two forms in which clients trust it."""

    def __init__(self, home: Path) -> None:
        """`home` has a short path: gpg's agent listens on a socket in it."""
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._home = home
        self.keyring = home / "key.gpg"  # for apt
        self.armored = home / "key.asc"  # for rpm
        self._gpg("--passphrase", "", "--quick-generate-key", _OWNER, "ed25519", "sign", "never")
        self._gpg("--output", str(self.keyring), "--export", _OWNER)
        self._gpg("--armor", "--output", str(self.armored), "--export", _OWNER)

    def sign_inline(self, file: Path, signed: Path) -> None:
        """Write `signed`: the text of `file` between the lines of its signature."""
        self._gpg("--output", str(signed), "--clearsign", str(file))

    def sign_beside(self, file: Path, signature: Path) -> None:
        """Write `signature` of `file`."""
        self._gpg("--armor", "--output", str(signature), "--detach-sign", str(file))

    def close(self) -> None:
        """End the agent that gpg started."""
        run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], self._home)

    def _gpg(self, *arguments: str) -> None:
        run(["gpg", "--homedir", str(self._home), "--batch", "--yes", "--quiet", *arguments], self._home)
