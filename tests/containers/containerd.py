"""Knows how containerd is run, and `ctr` with a hosts.toml: one daemon, a namespace for each machine.

<home>/c.toml  c.sock  root/  state/
<home>/hosts/<registry>/hosts.toml   whom to ask instead, with ?ns=<registry>
"""

from __future__ import annotations

import contextlib
import itertools
import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.clients.commands import CommandFailedError, run
from tests.containers.daemon import running
from tests.containers.machine import Held, Source, tagged

# Without isolation one namespace's blobs would save another the download.
_CONFIGURATION = """\
version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{home}/c.sock"
[ttrpc]
address = "{home}/t.sock"
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "isolated"
"""
_HOSTS = """\
server = "{fallback}"
[host."{mirror}"]
override_path = {override}
capabilities = ["pull", "resolve"]
"""
_NUMBERS = itertools.count()


class Containerd:
    """A running daemon; whatever a mirror does not have, ctr asks `fallback` (a URL) for."""

    def __init__(self, ctr: str, home: Path, fallback: str) -> None:
        self.socket = home / "c.sock"
        self._home = home
        self._fallback = fallback
        self._command = [ctr, "--address", str(self.socket)]

    def mirror(self, registry: str, url: str) -> None:
        """Have `registry` asked for at `url` from now on; with a path, that stands for /v2."""
        override = "true" if urllib.parse.urlsplit(url).path else "false"
        self._write(registry, _HOSTS.format(fallback=self._fallback, mirror=url, override=override))

    @contextlib.contextmanager
    def configured(self, registry: str, text: str) -> Iterator[None]:
        """With that hosts.toml for `registry`, and none afterwards."""
        file = self._write(registry, text)
        yield
        file.unlink()
        file.parent.rmdir()

    def _write(self, registry: str, text: str) -> Path:
        place = self._home / "hosts" / registry
        place.mkdir(parents=True, exist_ok=True)
        file = place / "hosts.toml"
        file.write_text(text, encoding="utf-8")
        return file

    def ctr(self, *arguments: str) -> str:
        return run([*self._command, *arguments], self._home)

    def machine(self) -> Ctr:
        """One without any image."""
        return Ctr(self.ctr, self._home, f"machine-{next(_NUMBERS)}")


class Ctr:
    """One machine, which is a namespace of the daemon."""

    takes_all = False

    def __init__(self, ctr: Callable[..., str], home: Path, namespace: str) -> None:
        self._run = ctr
        self._home = home
        self._namespace = namespace

    def __call__(self, *arguments: str) -> str:
        return self._run("--namespace", self._namespace, *arguments)

    def pull(self, source: Source, name: str, reference: str) -> Held:
        """Pull what the registry that `source` serves calls so, from the mirror in its hosts.toml."""
        return self.pull_as(f"{source.serves}/{tagged(name, reference)}")

    def pull_as(self, address: str) -> Held:
        hosts = str(self._home / "hosts")
        self("images", "pull", "--plain-http", "--snapshotter", "native", "--hosts-dir", hosts, address)
        (line,) = (line for line in self("images", "ls").splitlines() if line.startswith(address))
        digest = line.split()[2]
        kept = {each: self._bytes(each) for each in self("content", "ls", "--quiet").split()}
        return Held(digest, _config(digest, kept), kept)

    def push_as(self, held: str, address: str, user: str) -> None:
        """Push the platform that was pulled of an image, by the hosts.toml of the registry that `address` names."""
        hosts = ("--hosts-dir", str(self._home / "hosts"))
        more = ("--plain-http", "--platform", "linux/amd64", "--user", user)
        self("images", "push", *more, *hosts, address, held)

    def _bytes(self, digest: str) -> bytes:
        place = self._home / "root/io.containerd.content.v1.content/blobs/sha256"
        return (place / digest.removeprefix("sha256:")).read_bytes()


@contextlib.contextmanager
def containerd(executable: str, ctr: str, home: Path, fallback: str) -> Iterator[Containerd]:
    """A running daemon with all of its state below `home`, a short path."""
    file = home / "c.toml"
    file.write_text(_CONFIGURATION.format(home=home), encoding="utf-8")
    daemon = Containerd(ctr, home, fallback)
    with running([executable, "--config", str(file)], home, lambda: _answers(daemon)):
        yield daemon


def _answers(daemon: Containerd) -> bool:
    try:
        return "Server" in daemon.ctr("--connect-timeout", "1s", "version")
    except CommandFailedError:
        return False


def _config(digest: str, kept: dict[str, bytes]) -> str:
    """The digest of the config of the only platform that is here."""
    document = json.loads(kept[digest])
    if "manifests" in document:
        (own,) = (each["digest"] for each in document["manifests"] if each["digest"] in kept)
        document = json.loads(kept[own])
    return str(document["config"]["digest"])
