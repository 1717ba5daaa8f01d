"""Helm's rules: what a Chart.yaml may say, which version is newer, what index.yaml looks like; pure tables."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
import yaml

from app.errors import Unprocessable
from app.formats.helm_versions import is_version, precedence
from app.hosting.base import Contents, Item, Post, Sent
from app.hosting.helm import HOST
from app.hosting.helm_chart import Chart, chart, signed
from app.hosting.helm_index import LARGEST, about, entries, lines
from app.hosting.helm_yaml import Value, read
from app.hosting.upload import Upload
from app.resource import Entry, Kind, Repository
from tests.hosting.charts import plain

LEAST = "apiVersion: v2\nname: demo\nversion: 1.0.0\n"


def test_scalars_stay_the_texts_that_they_are() -> None:
    said: dict[str, Value] = {"version": "1.10", "on": "yes", "none": None, "text": "null", "list": ["0x10", None]}
    assert read(b"version: 1.10\non: yes\nnone: ~\ntext: 'null'\nlist: [0x10, ]\n") == {**said, "list": ["0x10"]}
    assert read(b"list:\n- 0x10\n-\n") == {"list": said["list"]}
    assert read(b"a: &x {b: c}\nd: *x\n---\nanother: document\n") == {"a": {"b": "c"}, "d": {"b": "c"}}
    assert read(b"") is None


@pytest.mark.parametrize(
    "document",
    [
        b"\xff",
        b"a: [",
        b"a: *b",
        b"a: &b [*b]",
        b"a: 1\na: 2",
        b"? [a]\n: b",
        b"[" * 100,
        b"a: '\\",
        b"\0",
        b" " * 300_000,
        b"a: b\n... garbage }}}",
    ],
)
def test_what_is_no_yaml_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r"is|has"):
        read(document)


def test_a_bomb_is_not_unfolded() -> None:
    rows = [f"k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    with pytest.raises(ValueError, match="aliases"):
        read("\n".join(["k0: &a0 [x]", *rows]).encode())


# semver.org 2.0.0, 11: each is older than the next
VERSIONS = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
VERSIONS += ["1.0.0-rc.1", "v1.0.0", "1.0.1", "2.0.0", "2.1.0", "10.0.0"]


def test_versions_are_ordered() -> None:
    for older, newer in itertools.combinations(VERSIONS, 2):
        assert precedence(older) < precedence(newer)
    assert precedence("1.0.0+a") == precedence("v1.0.0+b")


@pytest.mark.parametrize(
    ("version", "valid"),
    [
        ("1.0.0-0.3.7", True),
        ("1.0.0-x.7.z.92+exp.sha.5114f85", True),
        ("1.0.0--", True),
        ("1.0.0-0a", True),
        ("v1.0.0", True),
        ("1.0", False),
        ("1.0.0.0", False),
        ("01.0.0", False),
        ("1.0.0-01", False),
        ("1.0.0-", False),
        ("1.0.0+", False),
        ("1.0.0\n", False),
        ("\u0661.0.0", False),
    ],
)
def test_what_a_version_is(version: str, valid: bool) -> None:
    assert is_version(version) is valid


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ("appVersion: 1.10", "appVersion", "1.10"),
        ("deprecated: True", "deprecated", True),
        ("keywords: [a, ~, 1]", "keywords", ["a", "1"]),
        ("annotations: {a: 1, b: ~}", "annotations", {"a": "1"}),
        ("maintainers: [{name: Ann, age: 7}]", "maintainers", [{"name": "Ann"}]),
        (
            "dependencies: [{name: a, enabled: false, import-values: [b, {child: c, parent: d}]}]",
            "dependencies",
            [{"name": "a", "enabled": False, "import-values": ["b", {"child": "c", "parent": "d"}]}],
        ),
        ("unknown: 1", "unknown", None),
        ("description:", "description", None),
    ],
)
def test_a_field_has_its_type(more: str, field: str, value: object) -> None:
    assert chart(read(f"{LEAST}{more}\n".encode())).fields.get(field) == value


@pytest.mark.parametrize(
    "document",
    [
        "[]",
        "text",
        "",
        "apiVersion: v2\nname: demo",
        "apiVersion: v3\nname: demo\nversion: 1.0.0",
        "apiVersion: v2\nname: a/b\nversion: 1.0.0",
        "apiVersion: v2\nname: ..\nversion: 1.0.0",
        "apiVersion: v2\nname: [a]\nversion: 1.0.0",
        f"apiVersion: v2\nname: {'a' * 300}\nversion: 1.0.0",
        f"{LEAST}type: other",
        f"{LEAST}home: [a]",
        f"{LEAST}keywords: a",
        f"{LEAST}keywords: [[a]]",
        f"{LEAST}annotations: {{a: [b]}}",
        f"{LEAST}dependencies: [a]",
        f"{LEAST}dependencies: [{{enabled: 7}}]",
    ],
)
def test_what_is_no_chart_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match=r"is|has"):
        chart(read(document.encode()))


def test_an_index_is_yaml_and_can_be_taken_apart() -> None:
    def item(name: str, version: str) -> Item:
        said = Chart(name, version, {"name": name, "version": version, "description": "\x7f\u2028: 'x' \"y\" # é"})
        return Item(said.file, 1, "ab" * 32, 1_800_000_000.5, about(said))

    written = b"".join(lines([item("b", "1.9.0"), item("b", "1.10.0"), item("a-1", "1.0.0+x")], "/r", 1_800_000_001))
    read_again = yaml.safe_load(written)
    assert list(read_again["entries"]) == ["a-1", "b"]
    assert [each["version"] for each in read_again["entries"]["b"]] == ["1.10.0", "1.9.0"]
    first = read_again["entries"]["a-1"][0]
    assert first["urls"] == ["a-1-1.0.0+x.tgz"]
    assert first["description"] == "\x7f\u2028: 'x' \"y\" # é"
    assert first["created"] == "2027-01-15T08:00:00.500Z"
    taken = {name: len(found) for name, found in entries(io.BytesIO(written))}
    assert taken == {"a-1": 1, "b": 2}
    assert yaml.safe_load(b"".join(lines([], "/r", 0)))["entries"] == {}


SIGNED = (
    "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nname: a\n\n...\nfiles:\n{0}-----BEGIN PGP SIGNATURE-----\n"
)
LINE = "  a-1.0.0.tgz: sha256:" + "0a" * 32 + "\n"


def test_a_signature_says_of_what_it_is() -> None:
    assert signed(SIGNED.format(LINE).encode()) == ("a-1.0.0.tgz", "0a" * 32)


@pytest.mark.parametrize("signature", ["", LINE, SIGNED.format(""), SIGNED.format(LINE + LINE)])
def test_what_is_no_signature_is_refused(signature: str) -> None:
    with pytest.raises(ValueError, match="is no signature"):
        signed(signature.encode())


@pytest.mark.parametrize("text", ["x" * 70_000, "\\x01" * 12_000])
def test_an_index_says_little_of_one_chart(text: str) -> None:
    grown = chart(read(f'{LEAST}annotations: {{a: &a "{text[:6000]}", b: *a, c: "{text[6000:]}"}}\n'.encode()))
    with pytest.raises(ValueError, match="an index would say more than 64 KiB"):
        about(grown)


class Full:
    """Contents whose index is as large as it may be."""

    def find(self, path: str) -> Entry | None:
        return Entry("ab", LARGEST + 1) if path == "index.yaml" else None


def test_a_full_index_takes_no_chart(tmp_path: Path) -> None:
    contents: Contents = Full()  # type: ignore[assignment]
    with Upload(tmp_path, "charts") as upload:
        upload.write(plain("demo", "1.0.0"))
        sent = Sent("", "", "", upload)
        post = Post(Repository("charts", Kind.LOCAL), "PUT", "demo-1.0.0.tgz", files=[sent])
        with pytest.raises(Unprocessable) as refused:
            HOST.accept(post, contents)
    assert refused.value.code == "too_many"


def test_what_is_there_already_is_described_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(plain("demo", "1.0.0"))
    told = HOST.describe("demo-1.0.0.tgz", file)
    assert told is not None
    assert told.about.startswith("demo 1.0.0 {")
    assert HOST.describes("demo-1.0.0.tgz")
    assert not HOST.describes("demo-1.0.0.tgz.prov")
