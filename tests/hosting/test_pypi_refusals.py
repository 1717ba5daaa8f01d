"""Python packages that are none, and forms that lie: refused in words, and nothing is published of them."""

from __future__ import annotations

import io
import random
import struct
import zipfile

import pytest
import requests

from app.errors import BadRequest
from app.hosting import pypi_files, pypi_upload
from tests.hosting import wheels
from tests.hosting.wheels import AUTH, page, publish
from tests.stack import Stack


def zipped_by(method: int) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", method) as archive:
        for path, text in wheels.members("bad", "1.0").items():
            archive.writestr(path, text)
    return body.getvalue()


WHEEL = "bad-1.0-py3-none-any.whl"
INFO = "bad-1.0.dist-info"
GOOD = wheels.members("bad", "1.0")
SAID = {"name": "bad", "version": "1.0"}
BOMB = {**GOOD, f"{INFO}/METADATA": wheels.metadata("bad", "1.0") + "x" * (3 << 20)}
TWICE = wheels.zipped({**GOOD, "bad/x1": "", "bad/x2": ""}).replace(b"bad/x2", b"bad/x1")
LONG = b"PK\x03\x04" + bytes(9 << 20) + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, 9 << 20, 4, 0)
PACKED = zipped_by(zipfile.ZIP_LZMA)
SDIST = wheels.metadata("bad", "1.0")
HALF = wheels.tarred({"bad-1.0/PKG-INFO": SDIST, "bad-1.0/module.py": random.Random(1).randbytes(200_000)})[:100_000]
NOT_PACKAGES = {
    "two members of one name": (WHEEL, TWICE),
    "a directory that does not end": (WHEEL, LONG),
    "packed as pip cannot": (WHEEL, PACKED),
    "an empty wheel": (WHEEL, b""),
    "text for a wheel": (WHEEL, b"no zip at all"),
    "a cut wheel": (WHEEL, wheels.zipped(GOOD)[:-40]),
    "a wheel without metadata": (WHEEL, wheels.zipped({f"{INFO}/WHEEL": ""})),
    "a wheel without WHEEL": (WHEEL, wheels.zipped({f"{INFO}/METADATA": wheels.metadata("bad", "1.0")})),
    "two dist-info": (WHEEL, wheels.zipped({**GOOD, "bad-2.0.dist-info/METADATA": ""})),
    "another name inside": (WHEEL, wheels.zipped(wheels.members("good", "1.0"))),
    "another name in METADATA": (WHEEL, wheels.zipped({**GOOD, f"{INFO}/METADATA": wheels.metadata("good", "1.0")})),
    "another version": (WHEEL, wheels.zipped({**GOOD, f"{INFO}/METADATA": wheels.metadata("bad", "1.1")})),
    "no name": (WHEEL, wheels.zipped({**GOOD, f"{INFO}/METADATA": "Metadata-Version: 2.1\n\n"})),
    "binary metadata": (WHEEL, wheels.zipped({**GOOD, f"{INFO}/METADATA": bytes(range(256)) * 8})),
    "NUL in the name": (WHEEL, wheels.zipped({**GOOD, f"{INFO}/METADATA": wheels.metadata("bad\0", "1.0")})),
    "a strange python": (WHEEL, wheels.zipped(wheels.members("bad", "1.0", "Requires-Python: \x07<script>"))),
    "two pythons": (WHEEL, wheels.zipped(wheels.members("bad", "1.0", "Requires-Python: >3", "Requires-Python: <3"))),
    "much metadata": (WHEEL, wheels.zipped(BOMB)),
    "many headers": (WHEEL, wheels.zipped(wheels.members("bad", "1.0", *["X: y"] * 30_000))),
    "many fields": (WHEEL, wheels.zipped(wheels.members("bad", "1.0", *(f"X{number}: y" for number in range(300))))),
    "traversal": (WHEEL, wheels.zipped({**GOOD, "../../etc/passwd": "x"})),
    "text for an sdist": ("bad-1.0.tar.gz", b"no tar at all"),
    "an sdist without PKG-INFO": ("bad-1.0.tar.gz", wheels.tarred({"bad-1.0/setup.py": ""})),
    "an sdist of another": ("bad-1.0.tar.gz", wheels.tarred({"good-1.0/PKG-INFO": wheels.metadata("good", "1.0")})),
    "a cut sdist": ("bad-1.0.tar.gz", wheels.sdist("bad", "1.0")[1][:100]),
    "half an sdist": ("bad-1.0.tar.gz", HALF),
    "an sdist with two PKG-INFO": (
        "bad-1.0.tar.gz",
        wheels.tarred(dict.fromkeys(("bad-1.0/PKG-INFO", "b/PKG-INFO"), SDIST)),
    ),
    "a tar bomb": ("bad-1.0.tar.gz", wheels.tarred({"bad-1.0/zeros": bytes(32 << 20)})),
}
NOT_FORMS = {
    "an egg": (("bad-1.0.egg", b""), SAID),
    "traversal": (("../bad-1.0.tar.gz", b""), SAID),
    "no version": (("bad.tar.gz", b""), SAID),
    "a long name": ((f"{'b' * 5000}-1.0.tar.gz", b""), SAID),
    "a name in Unicode": (("b\u0430d-1.0.tar.gz", b""), SAID),
    "a folded letter": (("bad\u017f-1.0.tar.gz", b""), SAID),
    "another name": (("bad-1.0.tar.gz", b""), SAID | {"name": "good"}),
    "a Kelvin sign": (("bak-1.0.tar.gz", b""), SAID | {"name": "ba\u212a"}),
    "another version": (("bad-1.0.tar.gz", b""), SAID | {"version": "2.0"}),
    "another type": (("bad-1.0.tar.gz", b""), SAID | {"filetype": "bdist_wheel"}),
    "another action": (("bad-1.0.tar.gz", b""), SAID | {":action": "submit"}),
    "another protocol": (("bad-1.0.tar.gz", b""), SAID | {"protocol_version": "2"}),
    "a wrong md5": (wheels.wheel("bad", "1.0"), SAID | {"md5_digest": "0" * 32}),
    "a wrong sha256": (wheels.wheel("bad", "1.0"), SAID | {"sha256_digest": "0" * 64}),
    "a wrong blake2": (wheels.wheel("bad", "1.0"), SAID | {"blake2_256_digest": "0" * 64}),
    "no hex": (wheels.wheel("bad", "1.0"), SAID | {"sha256_digest": "zz"}),
}


@pytest.mark.parametrize("case", NOT_PACKAGES)
def test_what_is_no_package_is_refused(hosted: Stack, case: str) -> None:
    refused = publish(hosted, NOT_PACKAGES[case], **SAID)
    assert (refused.status_code, refused.json()["error"]) == (422, "not_a_package"), refused.text
    assert page(hosted, "simple/bad/").status_code == 404


@pytest.mark.parametrize("case", NOT_FORMS)
def test_a_form_that_lies_is_refused(hosted: Stack, case: str) -> None:
    made, fields = NOT_FORMS[case]
    refused = publish(hosted, made, **fields)
    assert refused.status_code == 400, refused.text
    assert page(hosted, "simple/bad/").status_code == 404


def test_other_requests_are_refused(hosted: Stack) -> None:
    url = f"{hosted.url}/repository/pypi"
    answers = [
        requests.post(f"{url}/legacy/", b"raw", auth=AUTH, timeout=30),
        requests.post(f"{url}/simple/", b"raw", auth=AUTH, timeout=30),
        requests.put(f"{url}/packages/a/a-1.0.tar.gz", b"raw", auth=AUTH, timeout=30),
        requests.put(f"{url}/packages/b/a-1.0.tar.gz", b"raw", auth=AUTH, timeout=30),
        requests.put(f"{url}/a/a-1.0.tar.gz", b"raw", auth=AUTH, timeout=30),
        requests.put(f"{url}/a/1.0/yank", b"raw", auth=AUTH, timeout=30),
        requests.put(f"{url}/legacy/", b"raw", auth=AUTH, timeout=30),
        requests.patch(f"{url}/a-1.0.tar.gz", b"raw", auth=AUTH, timeout=30),
        requests.delete(f"{url}/simple/", auth=AUTH, timeout=30),
    ]
    assert [each.status_code for each in answers] == [400, 404, 422, 400, 400, 400, 400, 405, 400]


def test_a_wheels_name_stands_for_only_so_many_combinations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads it makes them all, and a stranger who GETs it may have made it up: it is refused unread."""
    numbers = ".".join(f"p{number}" for number in range(17))
    most = pypi_files.named(f"a-1-{numbers.rpartition('.')[0]}-{numbers.rpartition('.')[0]}-any.whl")
    assert (most.project, most.wheel) == ("a", True)
    monkeypatch.setattr(pypi_files, "parse_wheel_filename", None)
    for tags in (f"{numbers}-{numbers}-any", f"{numbers}-any-{numbers}", f"any-{numbers}-{numbers}"):
        path = f"packages/a/a-1-{tags}.whl"
        with pytest.raises(BadRequest, match="256 combinations"):
            pypi_files.named(path.rpartition("/")[2])
        assert pypi_upload.place(path) == path


@pytest.mark.parametrize(
    ("tags", "same"),
    [
        ("py2.py3-none-any", True),
        ("PY3.py2-none-any", True),
        ("py2.py3.py3-none-any", True),
        ("py2-none-any", False),
        ("py2.py3-none-linux_x86_64", False),
        ("1-py2.py3-none-any", False),
    ],
)
def test_wheels_of_the_same_tags_are_of_one_kind(tags: str, same: bool) -> None:
    kinds = [pypi_files.named(f"a-1-{each}.whl").kind for each in ("py3.py2-none-any", tags)]
    assert (kinds[0] == kinds[1]) is same
