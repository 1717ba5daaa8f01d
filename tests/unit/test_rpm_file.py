"""What an rpm is, by packages made here byte by byte; real ones are in tests/hosting/test_rpm.py."""

from __future__ import annotations

import hashlib
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.errors import Unprocessable
from app.hosting import rpm_file
from app.hosting.base import Described
from app.hosting.rpm import HOST
from app.resource import Kind, Repository

MAGIC = b"\x8e\xad\xe8\x01" + bytes(4)
LEAD = (b"\xed\xab\xee\xdb\x03\x00\x00\x00\x00\x01" + b"x".ljust(66, b"\0") + b"\x00\x01\x00\x05").ljust(96, b"\0")
SHORT, NUMBER, TEXT, BYTES, TEXTS, I18N = 3, 4, 6, 7, 8, 9

Entry = tuple[int, int, int, bytes]  # tag, type, count, data


def header(entries: list[Entry], region: int) -> bytes:
    """With the region that librpm wants around what was signed: its first entry, whose trailer is the last data."""
    index, data = b"", b""
    for tag, kind, count, value in sorted(entries):
        data += bytes(-len(data) % {NUMBER: 4, SHORT: 2}.get(kind, 1))
        index += struct.pack(">IIII", tag, kind, len(data), count)
        data += value
    trailer = struct.pack(">IIiI", region, BYTES, -16 * (len(entries) + 1), 16)
    first = struct.pack(">IIII", region, BYTES, len(data), 16)
    data += trailer
    return MAGIC + struct.pack(">II", len(entries) + 1, len(data)) + first + index + data


def text(tag: int, value: str, kind: int = TEXT) -> Entry:
    return tag, kind, 1, value.encode(errors="surrogateescape") + b"\0"


def number(tag: int, value: int) -> Entry:
    return tag, NUMBER, 1, struct.pack(">I", value)


def rpm(
    name: str = "tool",
    payload: bytes = b"payload",
    arch: str = "noarch",
    summary: str = "summary",
    more: Sequence[Entry] = (),
    **lies: object,
) -> bytes:
    """A package without files, unless `more` says them; `lies` are what it says falsely."""
    digest = str(lies.get("payload", hashlib.sha256(payload).hexdigest()))
    fields = [text(1000, name), text(1001, "1.0"), text(1002, "1"), text(1004, summary, I18N)]
    fields += [text(1005, "what it is", I18N), number(1006, 1), text(1014, "MIT"), text(1016, "Unspecified", I18N)]
    fields += [text(1021, "linux"), text(1022, arch), text(1044, f"{name}-1.0-1.src.rpm")]
    fields += [text(5092, digest, TEXTS), number(5093, 8)]
    main = header([*fields, *more], 63)
    told = str(lies.get("header", hashlib.sha256(main).hexdigest()))
    size = lies.get("size", len(main) + len(payload))
    assert isinstance(size, int)
    signature = header([text(273, told), number(1000, size)], 62)
    return LEAD + signature + bytes(-len(signature) % 8) + main + payload


def files(directory: str, count: int) -> list[Entry]:
    """So many, all in one directory."""
    names = b"".join(b"%d\0" % each for each in range(count))
    return [
        (1116, NUMBER, count, bytes(4 * count)),
        (1117, TEXTS, count, names),
        (1118, TEXTS, 1, directory.encode() + b"\0"),
        (1030, SHORT, count, bytes(2 * count)),
        (1035, TEXTS, count, bytes(count)),
        (1037, NUMBER, count, bytes(4 * count)),
        (1028, NUMBER, count, bytes(4 * count)),
    ]


def read(tmp_path: Path, body: bytes) -> rpm_file.Rpm:
    file = tmp_path / "x.rpm"
    file.write_bytes(body)
    return rpm_file.read(file)


def test_a_whole_package(tmp_path: Path) -> None:
    found = read(tmp_path, rpm())
    assert found.name == "tool-1.0-1.noarch.rpm"
    primary, filelists, other = found.described("a/tool.rpm", "ab" * 32, 5, 7.9).split(rpm_file.SEPARATOR)
    assert primary.startswith('<package type="rpm"><name>tool</name><arch>noarch</arch>')
    assert '<location href="a/tool.rpm"/>' in primary
    assert '<time file="7"' in primary
    assert f'pkgid="{"ab" * 32}"' in filelists
    assert f'pkgid="{"ab" * 32}"' in other


def test_its_files(tmp_path: Path) -> None:
    found = read(tmp_path, rpm(more=files("/opt/tool/", 3)))
    _, filelists, _ = found.described("tool.rpm", "ab" * 32, 5, 0).split(rpm_file.SEPARATOR)
    assert "<file>/opt/tool/2</file>" in filelists


@pytest.mark.parametrize(
    "text", ["a & <b>", "caf\udce9", "ü", "tab\t", "   ", "\x85", "\U0001ffff", "\udced\udca1 \udce9"]
)
def test_a_text_that_xml_can_hold(tmp_path: Path, text: str) -> None:
    about = read(tmp_path, rpm(summary=text)).described("tool.rpm", "ab" * 32, 5, 0)
    ElementTree.fromstring(about.split(rpm_file.SEPARATOR)[0].replace("rpm:", ""))


def relation(names: int, value: bytes) -> list[Entry]:
    """What a package requires or provides, by the tag of its names."""
    flags, versions = {1047: (1112, 1113), 1049: (1048, 1050)}[names]
    return [(names, TEXTS, 1, value + b"\0"), (flags, NUMBER, 1, bytes(4)), (versions, TEXTS, 1, b"1\0")]


@pytest.mark.parametrize("spoilt", [b"a\xef\xbf\xbeb", b"a\xef\xbf\xbfb", b"a\xed\xa0\x80b"])
@pytest.mark.parametrize("where", ["url", "vendor", "provides", "requires", "changelog", "directory"])
def test_a_character_that_no_client_can_parse(tmp_path: Path, spoilt: bytes, where: str) -> None:
    """createrepo_c writes it, or cuts a text there in silence; then no package of the repository can be installed."""
    entries: dict[str, list[Entry]] = {
        "url": [(1020, TEXT, 1, spoilt + b"\0")],
        "vendor": [(1011, TEXT, 1, spoilt + b"\0")],
        "provides": relation(1047, spoilt),
        "requires": relation(1049, spoilt),
        "changelog": [number(1080, 1), (1081, TEXTS, 1, b"x\0"), (1082, TEXTS, 1, spoilt + b"\0")],
        "directory": [*files("/", 1)[:2], (1118, TEXTS, 1, b"/" + spoilt + b"/\0"), *files("/", 1)[3:]],
    }
    with pytest.raises(Unprocessable, match="none that XML can hold") as raised:
        read(tmp_path, rpm(more=entries[where])).described("tool.rpm", "ab" * 32, 5, 0)
    assert raised.value.code == "not_a_package"


def test_a_description_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpm_file, "LONGEST_ABOUT", 5000)
    read(tmp_path, rpm(more=files("/d/", 10))).described("tool.rpm", "ab" * 32, 5, 0)
    with pytest.raises(Unprocessable, match="more than 5000 characters"):
        read(tmp_path, rpm(more=files("/d/", 300))).described("tool.rpm", "ab" * 32, 5, 0)


@pytest.mark.parametrize("text", ["\x01", "a\x1eb", "\x1b[31m", "\x7f"])
def test_a_text_that_it_cannot(tmp_path: Path, text: str) -> None:
    try:
        about = read(tmp_path, rpm(summary=text)).described("tool.rpm", "ab" * 32, 5, 0)
    except Unprocessable as error:
        assert error.code == "not_a_package"
    else:
        assert about.count(rpm_file.SEPARATOR) == 2
        ElementTree.fromstring(about.split(rpm_file.SEPARATOR)[0].replace("rpm:", ""))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "does not begin as an rpm"),
        (b"!<arch>\ndebian-binary", "does not begin as an rpm"),
        (LEAD, "a header of it does not begin"),
        (LEAD + MAGIC + struct.pack(">II", 1, 1 << 30), "longer than"),
        (LEAD + MAGIC + struct.pack(">II", 1 << 28, 0), "longer than"),
        (LEAD + MAGIC + struct.pack(">II", 2, 100), "ends in a header"),
        (rpm()[:-1], "says that it has"),
        (rpm() + b"more", "says that it has"),
        (rpm(payload=b"good")[:-4] + b"evil", "payload is not what its digest says"),
        (rpm(payload=b"x", header="0" * 64), "header is not what its digest says"),
        (rpm("../../etc/passwd"), "no file name should"),
        (rpm("-rf"), "no file name should"),
        (rpm("ü"), "no file name should"),
        (rpm("a b"), "no file name should"),
        (rpm("x" * 300), "no file name should"),
        (rpm(arch="x86/64"), "no file name should"),
        (rpm(""), "lacks a name"),
        (rpm(more=files("/" + "d" * 10_000 + "/", 20_000)), "paths of its files"),
        (rpm(more=files("/d/", 300_001)), "more than 300000 values"),
        (rpm(more=[*files("/a/", 300), text(1118, f"/{'d' * 1_000_000}/", TEXTS)]), "an entry twice"),
    ],
)
def test_what_is_none(tmp_path: Path, body: bytes, reason: str) -> None:
    with pytest.raises(Unprocessable, match=reason) as raised:
        read(tmp_path, body)
    assert raised.value.code == "not_a_package"


def test_an_entry_that_points_outside(tmp_path: Path) -> None:
    body = bytearray(rpm())
    size = body.index(struct.pack(">III", 1000, NUMBER, 0)[:8])
    body[size + 8 : size + 12] = b"\x7f\xff\xff\xff"
    with pytest.raises(Unprocessable):
        read(tmp_path, bytes(body))


def test_a_published_file_is_described_again(tmp_path: Path) -> None:
    """After a restore, by the depth of its repository."""
    file = tmp_path / "x.rpm"
    file.write_bytes(rpm())
    deep = Repository("team", Kind.LOCAL, "rpm", repodata_depth=1)
    found = HOST.describe_in(deep, "el9/a/tool-1.0-1.noarch.rpm", file)
    assert isinstance(found, Described)
    assert found.scope == "el9/"
    assert '<location href="a/tool-1.0-1.noarch.rpm"/>' in found.about
    assert hashlib.sha256(rpm()).hexdigest() in found.about
    assert HOST.describe_in(deep, "team.repo", file) is None
