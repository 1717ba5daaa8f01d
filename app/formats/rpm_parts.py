"""What repodata has besides packages, of several members as one: advisories, groups, modules.

    updateinfo   <updates>, each <update> by its <id>           the first member's of each id
    group        <comps>, each element by its name and <id>     the first member's of each
    modules      YAML documents                                 all of them; libmodulemd knows one module twice

Source: createrepo_c; libcomps; libmodulemd.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import yaml
import zstandard

from app.formats.merging import naming
from app.formats.packed import unpacked
from app.formats.repodata import LEVEL, Packer, Unpacked
from app.formats.xml_cut import children

_LONGEST = 256 << 20  # bytes of one of them, unpacked
_LONGEST_MODULES = 16 << 20  # which are read by a slow parser
_HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_MOST = 1_000_000

Bodies = Mapping[str, BinaryIO]  # of each member that has one, in the members' order, by name


@dataclass(frozen=True, slots=True)
class Elements:
    """The children of a root element, each once; `file` is a part of its name."""

    file: str
    content_type: str
    root: str
    packer: Callable[[], Packer]

    def pieces(self, bodies: Bodies) -> Iterator[bytes]:
        """The merged text. Raises ValueError, naming the member."""
        yield _HEAD + f"<{self.root}>\n".encode()
        seen: set[tuple[str, str]] = set()
        for member, body in bodies.items():
            with naming(member):
                found = children(unpacked(body, _LONGEST), self.root, frozenset(("id",)), doctype=True)
                for child in found:
                    key = (child.name, child.text("id"))
                    if key not in seen or not key[1]:
                        yield child.raw + b"\n"
                    seen.add(key)
                    if len(seen) > _MOST:
                        raise ValueError(f"has more than {_MOST} of <{child.name[:40]}>")
        yield f"</{self.root}>\n".encode()


@dataclass(frozen=True, slots=True)
class Documents:
    """YAML documents, one after the other."""

    file: str
    content_type: str
    packer: Callable[[], Packer]

    def pieces(self, bodies: Bodies) -> Iterator[bytes]:
        """The merged text. Raises ValueError, naming the member."""
        for member, body in bodies.items():
            with naming(member):
                text = b"".join(unpacked(body, _LONGEST_MODULES))
                try:
                    for _ in yaml.parse(text, Loader=yaml.CSafeLoader):
                        pass
                except (yaml.YAMLError, UnicodeError) as error:
                    raise ValueError("its modules are not YAML") from error
            yield b"" if text.startswith(b"---") else b"---\n"
            yield text
            yield b"" if text.endswith(b"\n") else b"\n"


def _zstd() -> Packer:
    return zstandard.ZstdCompressor(LEVEL).compressobj()


def _gzip() -> Packer:
    return zlib.compressobj(6, wbits=31)


PARTS: Mapping[str, Elements | Documents] = {
    "updateinfo": Elements("updateinfo.xml.zst", "application/zstd", "updates", _zstd),
    "group": Elements("comps.xml", "application/xml", "comps", Unpacked),
    "modules": Documents("modules.yaml.gz", "application/gzip", _gzip),
}
