"""Charts as Helm itself packs and signs them, and others that it never would."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

from helm_python import chart as helm

CHART = 'apiVersion: v2\nname: "{0}"\nversion: {1}\nappVersion: "1.10"\ndescription: "of {0}: {1}"\n'
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\ndata:\n  version: {{ .Chart.Version }}\n"


def packed(directory: Path, name: str, version: str, more: str = "") -> Path:
    """The chart's .tgz, as `helm package` makes it."""
    source = directory / name
    (source / "templates").mkdir(parents=True, exist_ok=True)
    (source / "Chart.yaml").write_text(CHART.format(name, version) + more)
    (source / "templates/map.yaml").write_text(TEMPLATE)
    return Path(helm.package(source, destination=directory))


def archive(*members: tuple[str, bytes], compress: bool = True) -> bytes:
    """A .tgz with these members, whatever they are."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as writer:
        for name, body in members:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            writer.addfile(member, io.BytesIO(body))
    return gzip.compress(tar.getvalue()) if compress else tar.getvalue()


def plain(name: str, version: str, more: str = "") -> bytes:
    """A chart of one file."""
    return archive((f"{name}/Chart.yaml", (CHART.format(name, version) + more).encode()))
