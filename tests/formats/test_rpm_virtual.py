"""Repodata of several members as one: whose packages it lists, what is handed on as it is, what is refused."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import zstandard
from pysequoia import Tsk

from app.errors import NotFound
from app.formats.rpm import RPM
from tests.formats.merged import local, made, remote, virtual
from tests.http.node import Node
from tests.upstreams import LOGIN_PAGE, Upstream

REPO, COMMON = "{http://linux.duke.edu/metadata/repo}", "{http://linux.duke.edu/metadata/common}"
SPACES = 'xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm"'


def package(name: str, version: str = "1", href: str = "", base: str = "", arch: str = "noarch") -> str:
    checksum = hashlib.sha256(f"{name} {version} {href}".encode()).hexdigest()
    href = href or f"Packages/{name}-{version}-1.{arch}.rpm"
    return (
        f'<package type="rpm"><name>{name}</name><arch>{arch}</arch>'
        f'<version epoch="0" ver="{version}" rel="1"/><checksum type="sha256" pkgid="YES">{checksum}</checksum>'
        f'<location {base}href="{href}"/><format><rpm:provides><rpm:entry name="{name}"/></rpm:provides>'
        f"<file>/usr/bin/{name}</file></format></package>\n"
    )


def primary(*rows: str, spaces: str = SPACES) -> str:
    return f'<?xml version="1.0"?>\n<metadata {spaces} packages="{len(rows)}">\n{"".join(rows)}</metadata>'


def others(rows: tuple[str, ...], element: str, kind: str) -> str:
    found = [re.search(r"<name>(.*)</name>.*>([0-9a-f]{64})<", row) for row in rows]
    told = [f'<package pkgid="{each[2]}" name="{each[1]}" arch="noarch"/>' for each in found if each]
    return (
        f'<{element} xmlns="http://linux.duke.edu/metadata/{kind}" packages="{len(told)}">{"".join(told)}</{element}>'
    )


def repodata(*rows: str, **files: str) -> dict[str, bytes]:
    """The repodata of these packages by path; `files` are those of further types, or instead."""
    texts = {
        "primary": primary(*rows),
        "filelists": others(rows, "filelists", "filelists"),
        "other": others(rows, "otherdata", "other"),
        **files,
    }
    found, said = {}, []
    for kind, text in texts.items():
        body = gzip.compress(text.encode(), mtime=0)
        digest = hashlib.sha256(body).hexdigest()
        found[f"repodata/{digest}-{kind}.xml.gz"] = body
        said.append(
            f'<data type="{kind}"><checksum type="sha256">{digest}</checksum>'
            f'<location href="repodata/{digest}-{kind}.xml.gz"/></data>'
        )
    head = f'<repomd xmlns="{REPO[1:-1]}"><revision>{len(rows)}</revision>{"".join(said)}</repomd>'
    return {**found, "repodata/repomd.xml": head.encode()}


def publish(upstream: Upstream, *rows: str, directory: str = "", **files: str) -> None:
    for path, body in repodata(*rows, **files).items():
        upstream.put(f"/{directory}{path}", body)


@pytest.fixture
def node(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[Node, Upstream, Upstream]]:
    """`all` of two remotes, `signed` with a key; `mine` of three, the second of which owns team-* packages."""
    one, two = Upstream(), Upstream()
    remotes = {
        "one": {"package": "rpm", "base_url": one.url, "cache": {"mutable_ttl": 100}},
        "two": {"package": "rpm", "base_url": two.url, "cache": {"mutable_ttl": 100}},
        "owner": {"package": "rpm", "base_url": two.url, "owned": ["team-*"], "cache": {"mutable_ttl": 100}},
    }
    key = str(Tsk.generate("Virtual <virtual@example.org>"))
    virtuals = {
        "all": {"package": "rpm", "members": ["one", "two"]},
        "signed": {"package": "rpm", "members": ["one", "two"], "signing_key": key},
        "mine": {"package": "rpm", "members": ["one", "owner"]},
    }
    try:
        with Node(tmp_path, database_url, redis_url, {"remotes": remotes, "virtuals": virtuals}).running() as found:
            yield found, one, two
    finally:
        one.stop()
        two.stop()


def index(here: Node, base: str) -> dict[str, str]:
    """The files that a repomd.xml names, unpacked, by type; their checksums hold."""
    answer = here.get(f"/repository/{base}repodata/repomd.xml")
    assert answer.status_code == 200, answer.data
    found = {}
    for data in ElementTree.fromstring(answer.data).iter(f"{REPO}data"):
        location = data.find(f"{REPO}location")
        assert location is not None
        file = here.get(f"/repository/{base}{location.attrib['href']}")
        assert hashlib.sha256(file.data).hexdigest() == data.findtext(f"{REPO}checksum"), file.data
        unpack = gzip.decompress if file.data[:2] == b"\x1f\x8b" else _unzstd
        found[data.attrib["type"]] = unpack(file.data).decode()
    return found


def _unzstd(body: bytes) -> bytes:
    return body if body[:1] == b"<" else zstandard.ZstdDecompressor().decompressobj().decompress(body)


def hrefs(text: str) -> list[str]:
    root = ElementTree.fromstring(text)
    found = [each.attrib["href"] for each in root.iter(f"{COMMON}location")]
    assert root.attrib["packages"] == str(len(found))
    return found


def test_every_member_is_listed_and_the_first_wins(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("a"), package("b", "1", "b.rpm"))
    publish(two, package("b", "1", "Packages/b.rpm"), package("b", "2", "b.rpm"), package("a", arch="x86_64"))
    found = index(here, "all/")
    assert hrefs(found["primary"]) == [
        "@one/Packages/a-1-1.noarch.rpm",
        "@one/b.rpm",
        "@two/b.rpm",
        "@two/Packages/a-1-1.x86_64.rpm",
    ]
    assert package("b", "1", "b.rpm").replace('href="b.rpm"', 'href="@one/b.rpm"') in found["primary"]
    for kind in ("filelists", "other"):
        assert len(re.findall("<package ", found[kind])) == 4, found[kind]
        ElementTree.fromstring(found[kind])
    again = here.get("/repository/all/repodata/repomd.xml")
    assert again.headers["X-Cache"] == "HIT"
    assert again.headers["Content-Type"] == "application/xml"
    here.admin("PUT", "/cache/flush?remote=all")
    assert here.get("/repository/all/repodata/repomd.xml").data == again.data


def test_a_path_is_of_the_member_whose_package_it_names(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("a", "1", "x.rpm"))
    publish(two, package("b", "1", "x.rpm"))
    one.put("/x.rpm", b"of one")
    two.put("/x.rpm", b"of two, which the index does not promise")
    two.put("/@one/x.rpm", b"of nobody")
    assert here.get("/repository/all/@one/x.rpm").data == b"of one"
    publish(one, package("a", "1", "y.rpm"))
    one.remove("/x.rpm")
    here.admin("PUT", "/cache/flush?remote=one")
    assert here.get("/repository/all/@one/x.rpm").status_code == 404
    assert here.get("/repository/all/@other/x.rpm").status_code == 404


def test_a_list_promises_the_bytes_of_its_packages(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("a"))
    publish(two, package("b"))
    assert hrefs(index(here, "all/")["primary"])
    one.put("/Packages/a-1-1.noarch.rpm", b"something else")
    assert here.get("/repository/all/@one/Packages/a-1-1.noarch.rpm").status_code == 502


def test_what_one_member_alone_has_is_handed_on_with_its_signature(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(two, package("b"), directory="9/os/")
    head = here.get("/repository/two/9/os/repodata/repomd.xml").data
    two.put("/9/os/repodata/repomd.xml.asc", b"-----BEGIN PGP SIGNATURE-----")
    two.put("/9/os/Packages/b-1-1.noarch.rpm", b"b")
    for name in ("all", "signed"):
        base = f"{name}/9/os/"
        assert here.get(f"/repository/{base}repodata/repomd.xml").data == head
        assert here.get(f"/repository/{base}repodata/repomd.xml.asc").data.startswith(b"-----BEGIN PGP SIGNATURE")
        assert here.get(f"/repository/{base}repodata/repomd.xml.key").status_code == 404
        assert hrefs(index(here, base)["primary"]) == ["Packages/b-1-1.noarch.rpm"]
    publish(one, package("a"), directory="9/os/")
    here.admin("PUT", "/cache/flush?remote=one")  # that it was not there is remembered for half a minute
    assert len(hrefs(index(here, "signed/9/os/")["primary"])) == 2
    signature = here.get("/repository/signed/9/os/repodata/repomd.xml.asc")
    assert (signature.status_code, b"BEGIN PGP SIGNATURE" in signature.data) == (200, True)
    assert here.get("/repository/all/9/os/repodata/repomd.xml").status_code == 200
    assert here.get("/repository/all/9/os/repodata/repomd.xml.asc").status_code == 404
    assert here.get("/repository/all/8/repodata/repomd.xml").status_code == 404


def test_owned_names_are_nobody_elses(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("team-x", "9"), package("a"))
    one.put("/Packages/team-x-9-1.noarch.rpm", b"a stranger's")
    base = "mine/"
    assert hrefs(index(here, base)["primary"]) == ["@one/Packages/a-1-1.noarch.rpm"]
    publish(two, package("team-x", "1"))
    here.admin("PUT", "/cache/flush?remote=owner")
    assert hrefs(index(here, base)["primary"]) == [
        "@one/Packages/a-1-1.noarch.rpm",
        "@owner/Packages/team-x-1-1.noarch.rpm",
    ]
    for path in ("Packages/team-x-9-1.noarch.rpm", "@one/Packages/team-x-9-1.noarch.rpm"):
        assert here.get(f"/repository/mine/{path}").status_code == 404
    assert not one.count("/Packages/team-x-9-1.noarch.rpm")


def test_advisories_groups_and_modules_are_put_together(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    update = "<update><id>{}</id><title>{}</title></update>"
    group = "<group><id>{}</id><name>{}</name></group>"
    doctype = '<?xml version="1.0"?>\n<!DOCTYPE comps PUBLIC "-//example//DTD Comps//EN" "comps.dtd">\n'
    module = "---\ndocument: modulemd\ndata: {{name: {}}}\n...\n"
    for upstream, name in ((one, "one"), (two, "two")):
        publish(
            upstream,
            package(name),
            updateinfo=f"<updates>{update.format(name, name)}{update.format('both', name)}</updates>",
            group=f"{doctype}<comps>{group.format('core', name)}{group.format(name, name)}</comps>",
            modules=module.format(name),
        )
    found = index(here, "all/")
    titles = [each.text for each in ElementTree.fromstring(found["updateinfo"]).iter("title")]
    assert titles == ["one", "one", "two"]
    names = [each.text for each in ElementTree.fromstring(found["group"]).iter("name")]
    assert names == ["one", "one", "two"]
    assert found["modules"] == module.format("one") + module.format("two")


ENTITIES = '<!DOCTYPE metadata [<!ENTITY a "aaaa">]>'
HOSTILE = {
    "html": "<html><body>log in</body></html>",
    "another root": "<updates></updates>",
    "cut": primary(package("a"))[:-20],
    "entities": primary(package("a")).replace("\n", ENTITIES, 1),
    "another namespace": primary(package("a"), spaces='xmlns="x" xmlns:rpm="y"'),
    "no name": primary(package("a").replace("<name>a</name>", "")),
    "no checksum": primary(re.sub("<checksum.*</checksum>", "", package("a"))),
    "a checksum that is none": primary(re.sub("YES.>[0-9a-f]{4}", 'YES">zzzz', package("a"))),
    "nested": primary("<package>" + "<x>" * 100 + "</x>" * 100 + "</package>"),
    "a long text": primary(package("a" * 5000)),
    "two names": primary(package("a").replace("<arch>", "<name>team-x</name><arch>")),
    "two locations": primary(package("a").replace("<format>", '<location href="x.rpm"/><format>')),
    "a name in parts": primary(package("a").replace("<name>a", "<name>a<x/>team-x")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_bad_list_is_refused_by_its_members_name(kind: str) -> None:
    own = virtual("rpm", remote("rpm", "one"), remote("rpm", "two"))
    files = {"one": repodata(package("a")), "two": repodata(package("b"), primary=HOSTILE[kind])}
    with pytest.raises(ValueError, match=r"^two: "):
        made(own, "repodata/repomd.xml", files)


def test_namespaces_are_declared_once() -> None:
    """Those of a root are its children's, who may have some of them already."""
    row = package("b").replace("<package ", '<package xmlns:foo="urn:of-the-child" ')
    text = primary(row, package("c"), spaces=f'{SPACES} xmlns:foo="urn:x" xmlns:bar="urn:&quot;y"')
    own = virtual("rpm", remote("rpm", "one"), remote("rpm", "two"))
    files = {"one": repodata(package("a")), "two": repodata(row, package("c"), primary=text)}
    table = made(own, "repodata/repomd.xml", files)
    (found,) = (_unzstd(each.getvalue()).decode() for path, each in table.others.items() if "-primary" in path)
    assert [each.split("/")[0] for each in hrefs(found)] == ["@one", "@two", "@two"]
    assert [found.count(each) for each in ("urn:of-the-child", "urn:x", "xmlns:bar=")] == [1, 1, 2]


def test_a_bad_list_leaves_the_old_one(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("a"))
    publish(two, package("b"), updateinfo="<updates/>")
    before = here.get("/repository/all/repodata/repomd.xml")
    assert before.status_code == 200
    publish(two, package("c"), updateinfo=HOSTILE["cut"])
    here.clock.forward(101)
    here.get("/repository/two/repodata/repomd.xml")  # a set is replaced behind its old head
    here.idle()
    after = here.get("/repository/all/repodata/repomd.xml")
    assert (after.status_code, after.data, after.headers["X-Cache"]) == (200, before.data, "STALE")
    fresh = here.get("/repository/signed/repodata/repomd.xml")
    assert (fresh.status_code, b"two: is <metadata>" in fresh.data) == (502, True), fresh.data


def test_a_login_page_is_no_member(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("a"))
    two.put("/repodata/repomd.xml", LOGIN_PAGE, Content_Type="text/html")
    answer = here.get("/repository/all/repodata/repomd.xml")
    assert answer.status_code == 200
    assert "two did not answer" in answer.headers["Warning"]


def test_a_member_whose_lists_do_not_answer_is_left_out(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("a"))
    publish(two, package("b"))
    assert here.get("/repository/two/repodata/repomd.xml").status_code == 200
    two.stop()
    answer = here.get("/repository/all/repodata/repomd.xml")
    assert (answer.status_code, "two did not answer" in answer.headers["Warning"]) == (200, True)
    assert hrefs(index(here, "all/")["primary"]) == ["Packages/a-1-1.noarch.rpm"]
    two.start()
    here.clock.forward(301)
    assert len(hrefs(index(here, "all/")["primary"])) == 2


def test_what_is_lost_is_made_again(node: tuple[Node, Upstream, Upstream]) -> None:
    here, one, two = node
    publish(one, package("a"))
    publish(two, package("b"))
    found = index(here, "all/")
    one.stop()
    two.stop()
    here.clock.forward(101)
    for file in here.blobs():
        if file.stat().st_size and _unzstd_or_empty(file).startswith(b"<?xml") and b"@one/" in _unzstd_or_empty(file):
            file.unlink()
    assert index(here, "all/") == found


def _unzstd_or_empty(file: Path) -> bytes:
    body = file.read_bytes()
    return _unzstd(body) if body.startswith(b"\x28\xb5\x2f\xfd") else b""


def test_the_names_of_a_locals_root_index_count_everywhere() -> None:
    own = virtual("rpm", remote("rpm", "one"), local("rpm", "team"))
    upstream = {f"9/{path}": body for path, body in repodata(package("a"), package("ours", "9")).items()}
    files = {"one": upstream, "team": repodata(package("ours"))}
    table = made(own, "9/repodata/repomd.xml", files)
    (primary_text,) = (_unzstd(each.getvalue()) for path, each in table.others.items() if "-primary" in path)
    assert hrefs(primary_text.decode()) == ["@one/Packages/a-1-1.noarch.rpm"]
    files["team"] = repodata(package("b"))
    assert made(own, "9/repodata/repomd.xml", files).text.getvalue() == upstream["9/repodata/repomd.xml"]


def test_a_local_that_the_client_may_not_read_has_names_all_the_same() -> None:
    hidden = local("rpm", "team")
    own = replace(virtual("rpm", remote("rpm", "one")), unread=(hidden,))
    files = {
        "one": repodata(package("a"), package("ours", "9")),
        "team": repodata(package("ours"), package("secret")),
    }
    table = made(own, "repodata/repomd.xml", files)
    (text,) = (_unzstd(each.getvalue()) for path, each in table.others.items() if "-primary" in path)
    assert hrefs(text.decode()) == ["@one/Packages/a-1-1.noarch.rpm"]
    with pytest.raises(NotFound):
        made(own, "repodata/repomd.xml", {"team": repodata(package("secret"))})


def test_what_is_elsewhere_stays_there_and_what_nobody_can_ask_for_is_left_out() -> None:
    own = virtual("rpm", remote("rpm", "one"), remote("rpm", "two"))
    base = 'xml:base="http://example.org/" '
    odd = (package("a", href="a.rpm", base=base), package("b", href="../b.rpm"), package("c", href="a&amp;c.rpm"))
    table = made(own, "repodata/repomd.xml", {"one": repodata(*odd), "two": repodata()})
    (text,) = (_unzstd(each.getvalue()) for path, each in table.others.items() if "-primary" in path)
    assert hrefs(text.decode()) == ["a.rpm", "@one/a&c.rpm"]
    assert base.encode() in text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Packages/h/hello-2.0-1.el9.x86_64.rpm", "hello"),
        ("@one/lib++x-1.0~rc1-1.noarch.rpm", "lib++x"),
        ("a-b-c-1-2.src.rpm", "a-b-c"),
        ("d/x-1-1.x86_64.drpm", "x"),
        ("hello.rpm", ""),
        ("repodata/repomd.xml", ""),
    ],
)
def test_a_file_says_its_packages_name(path: str, name: str) -> None:
    assert RPM.named(path) == name
