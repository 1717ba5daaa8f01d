"""Archives as packages have them, and as nobody should be able to send them: read, or refused within bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from app.errors import Unprocessable
from app.formats.tar import files
from app.hosting.archives import Limits, Slice, ar, content, gzip_member, judged, unpack
from tests.conftest import require
from tests.hosting import debian

SMALL = Limits(unpacked=2 << 20, ratio=50, members=10, name=100)


def listed(body: bytes, limits: Limits = SMALL) -> dict[str, bytes]:
    return {name: file.read() for name, file in files(io.BytesIO(body), limits)}


def tar(write: Callable[[tarfile.TarFile], None], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        write(archive)
    return buffer.getvalue()


def member(name: str, body: bytes = b"body", **more: object) -> Callable[[tarfile.TarFile], None]:
    def write(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(body)
        for key, value in more.items():
            setattr(info, key, value)
        archive.addfile(info, io.BytesIO(body))

    return write


def damaged(body: bytes, at: int, new: bytes, checksum: bool = True) -> bytes:
    """The first header changed, and its checksum put right."""
    header = bytearray(body[:512])
    header[at : at + len(new)] = new
    if checksum:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + body[512:]


# -- tar ----------------------------------------------------------------------------------------------------

LONG = "a/" * 40 + "é" * 20 + "/file"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("name", ["file", "./file", "a/./b", LONG])
def test_every_form_of_a_name_is_read(form: int, name: str) -> None:
    expected = "/".join(part for part in name.split("/") if part != ".")
    assert listed(tar(member(name), form), Limits()) == {expected: b"body"}


def test_a_tar_of_the_systems_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x").write_bytes(b"1" * 700)
    (tmp_path / "d/link").symlink_to("x")
    os.link(tmp_path / "d/x", tmp_path / "d/same")
    with (tmp_path / "d/sparse").open("wb") as file:
        file.truncate(1 << 20)
        for at in range(0, 1 << 20, 1 << 15):
            file.seek(at)
            file.write(b"z")
    (tmp_path / "d/z").write_bytes(b"2")
    for form in ("gnu", "posix", "ustar"):
        sparse = [] if form == "ustar" else ["--sparse"]
        command = [require("tar"), f"--format={form}", *sparse, "--sort=name", "-C", str(tmp_path), "-c", "d"]
        found = listed(subprocess.run(command, capture_output=True, check=True).stdout, Limits())
        found.pop("d/sparse", None)  # ustar has it whole
        assert list(found.values()) == [b"1" * 700, b"2"], form


@pytest.mark.parametrize(
    "kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_what_is_no_regular_file_is_passed_over(kind: bytes) -> None:
    def write(archive: tarfile.TarFile) -> None:
        member("x", b"", type=kind, linkname="/etc/passwd")(archive)
        member("y")(archive)

    assert listed(tar(write)) == {"y": b"body"}


def test_a_tar_ends_with_its_file_too() -> None:
    whole = tar(member("x"))
    assert listed(whole[:1024]) == listed(whole[:516]) == {"x": b"body"}
    assert listed(b"") == {}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (tar(member("../x")), "no path below it"),
        (tar(member("a/../../x")), "no path below it"),
        (tar(member("/x")), "no path below it"),
        (tar(member("a\nb")), "no path below it"),
        (tar(member("x" * 101)), "more than 100 bytes"),
        (tar(member("x" * 70_000)), "more than 65536 bytes"),
        (b"".join(tar(member(str(n)))[:1024] for n in range(11)), "more than 10 members"),
        (tar(member("x"))[:300], "in the middle"),
        (tar(member("x"))[:514], "in the middle"),
        (damaged(tar(member("x")), 0, b"y", checksum=False), "damaged"),
        (damaged(tar(member("x")), 124, b"99999999999\0"), "damaged"),
        (damaged(tar(member("x")), 124, b"\xff" * 12), "damaged"),
        (damaged(tar(member("x")), 124, b"\x80" + b"\x7f" * 11), "in the middle"),
        (b"not a tar " * 100, "damaged"),
    ],
)
def test_a_tar_that_is_none_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        listed(body)


@pytest.mark.parametrize(
    "record",
    [
        *(b"9" * 60_000, b"30 path=x\n", b"0 path=x\n", b"-8 path=x\n", b"11 path", b"\0" * 600),
        *(b"2 " * 32_000, b"4 =\n" * 16_000, b"3 a=\n", b"5 a=\n" * 101),
    ],
)
def test_a_pax_header_that_is_none_is_refused_at_once(record: bytes) -> None:
    body = damaged(tar(member("x", record)), 156, b"x")
    with pytest.raises(ValueError, match="damaged"):
        listed(body + tar(member("y")))


def test_a_pax_header_is_walked_once() -> None:
    """And not copied for each of its records: a hundred bytes, packed, were seconds of work."""
    records = b"".join(b"%d k%02d=%s\n" % (650, number, b"v" * 641) for number in range(100))
    assert listed(damaged(tar(member("x", records)), 156, b"x")[: 1 << 16] + tar(member("y")), Limits()) == {
        "y": b"body"
    }


def test_a_member_has_few_headers_before_its_own() -> None:
    """Each may be long, and packed they are nothing."""
    one = damaged(tar(member("x", b"9 path=y\n")), 156, b"x")[:1024]
    assert listed(one * 4 + tar(member("x"))) == {"y": b"body"}
    with pytest.raises(ValueError, match="more than 4 tar headers"):
        listed(one * 5 + tar(member("x")))


@pytest.mark.parametrize("rest", [b"", b"abcde", b"\1" * 511])
def test_a_sparse_files_map_that_is_cut_short_is_refused(rest: bytes) -> None:
    header = damaged(tar(member("x", b"", type=b"S")), 482, b"\1")[:512]
    with pytest.raises(ValueError, match="in the middle"):
        listed(header + rest)


# -- what is packed -----------------------------------------------------------------------------------------

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda body: zstandard.ZstdCompressor().compress(body),
}


@pytest.mark.parametrize("packing", [*PACK, "nothing"])
def test_every_packing_is_told_by_its_bytes(packing: str) -> None:
    body = os.urandom(300_000)
    assert unpack(io.BytesIO(PACK.get(packing, bytes)(body)), SMALL).read() == body
    with pytest.raises(ValueError, match=r"unpack|end"):
        unpack(
            io.BytesIO(PACK.get(packing, bytes)(body)[:-9]),
            Limits(unpacked=299_000 if packing == "nothing" else 1 << 20),
        ).read()


@pytest.mark.parametrize("packing", PACK)
def test_a_bomb_is_refused_while_it_is_small(packing: str) -> None:
    bomb = unpack(io.BytesIO(PACK[packing](b"\0" * (8 << 20))), SMALL)
    with pytest.raises(ValueError, match="unpacks to more than"):
        bomb.read()


def test_gzip_members_are_read_one_by_one() -> None:
    first, second = gzip.compress(b"one" * 50_000, mtime=0), gzip.compress(b"two", mtime=0)
    file = io.BytesIO(first + second)
    assert (gzip_member(file, SMALL), file.tell()) == (b"one" * 50_000, len(first))
    assert (gzip_member(file, SMALL), file.tell()) == (b"two", len(first + second))
    for broken in (b"", first[:-1], b"no gzip", first[:20] + b"\0" * 100):
        with pytest.raises(ValueError, match=r"early|unpacked"):
            gzip_member(io.BytesIO(broken), SMALL)
    with pytest.raises(ValueError, match="unpacks to more"):
        gzip_member(io.BytesIO(gzip.compress(b"\0" * (8 << 20))), SMALL)


# -- ar -----------------------------------------------------------------------------------------------------


def test_ar_as_dpkg_and_as_binutils_write_it(tmp_path: Path) -> None:
    body = debian.ar(("debian-binary", b"2.0\n"), ("odd", b"123"), ("last", b"1"))
    expected = [("debian-binary", b"2.0\n"), ("odd", b"123"), ("last", b"1")]
    assert [(name, file.read()) for name, file in ar(io.BytesIO(body))] == expected
    for name, content_ in expected:
        (tmp_path / name).write_bytes(content_)
    if shutil.which("ar"):
        subprocess.run(["ar", "rc", "x.a", *(name for name, _ in expected)], cwd=tmp_path, check=True)
        with (tmp_path / "x.a").open("rb") as file:
            assert [(name, each.read()) for name, each in ar(file)] == expected


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "no ar archive"),
        (b"!<arch>\nx", "damaged ar header"),
        (debian.ar(("x", b"123"))[:-3], "in the middle"),
        (debian.ar(("x", b"1"))[:30], "damaged ar header"),
        (debian.ar(("x", b"1")).replace(b"`\n", b"``"), "damaged ar header"),
        (debian.ar(("x", b"1")).replace(b"1         `", b"-1        `"), "damaged ar header"),
        (debian.ar(("x", b"1")).replace(b"1         `", b"9999999999`"), "in the middle"),
        (debian.ar(*(("x", b""),) * 17), "more than 16"),
    ],
)
def test_an_ar_that_is_none_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(ar(io.BytesIO(body)))


def test_a_reason_becomes_an_answer() -> None:
    with pytest.raises(Unprocessable, match="the package has a thing of more than 3 bytes") as refused, judged():
        content(io.BytesIO(b"1234"), 3, "a thing")
    assert (refused.value.status, refused.value.code) == (422, "not_a_package")
    assert Slice(io.BytesIO(b"012345"), 2, 3).read() == b"234"
