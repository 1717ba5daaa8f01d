"""Python packages: published with twine and uv, installed with pip and uv from nothing but this index."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests
from twine.commands.upload import skip_upload

from app.errors import NotFound
from app.formats.pypi import HTML, HTML_V1, JSON_V1
from app.hosting.base import Contents, Item, New, Post, Sent
from app.hosting.pypi import HOST
from app.hosting.upload import Upload
from app.resource import Entry, Kind, Repository
from tests.clients.commands import CommandFailedError, run
from tests.hosting import wheels
from tests.hosting.asked import blank
from tests.hosting.conftest import TOKEN
from tests.hosting.wheels import AUTH, page, publish
from tests.stack import Stack

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
UV = [sys.executable, "-m", "uv"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def with_login(url: str) -> str:
    return url.replace("://", f"://__token__:{TOKEN}@")


def twine(hosted: Stack, home: Path, *files: Path, repository: str = "pypi") -> str:
    url = f"{hosted.url}/repository/{repository}/"
    login = ["--username", "__token__", "--password", TOKEN, "--non-interactive", "--disable-progress-bar"]
    command = [sys.executable, "-m", "twine", "upload", "--repository-url", url, *login]
    return run([*command, *map(str, files)], home)


def uv_publish(hosted: Stack, home: Path, *files: Path, check: bool = False) -> str:
    url = f"{hosted.url}/repository/pypi"
    more = ["--check-url", f"{url}/simple/"] if check else []
    return run([*UV, "publish", "--publish-url", f"{url}/legacy/", "--token", TOKEN, *more, *map(str, files)], home)


def pip(home: Path, target: Path, index: str, *what: str) -> str:
    host = ["--trusted-host", "127.0.0.1", "--target", str(target)]
    return run([*PIP, "install", "--index-url", index, *host, *what], home)


def uv_install(home: Path, target: Path, index: str, what: str) -> str:
    return run([*UV, "pip", "install", "--no-cache", "--default-index", index, "--target", str(target), what], home)


def test_what_twine_and_uv_publish_pip_and_uv_install(hosted: Stack, home: Path, tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    python = "Requires-Python: >=3.8"
    first = [wheels.saved(dist, make("Team.Tool", "1.0", python)) for make in (wheels.wheel, wheels.sdist)]
    twine(hosted, home, *first)
    second = [wheels.wheel("Team.Tool", "1.1", "Requires-Dist: team-lib"), wheels.wheel("team-lib", "2.0")]
    uv_publish(hosted, home, *(wheels.saved(dist, each) for each in second))
    index = f"{hosted.url}/repository/pypi/simple/"
    pip(home, tmp_path / "a", index, "team-tool")
    assert (tmp_path / "a" / "team_tool.py").read_text() == "VERSION = '1.1'\n"
    assert (tmp_path / "a" / "team_lib.py").exists()
    uv_install(home, tmp_path / "b", index, "Team_Tool")
    assert (tmp_path / "b" / "team_tool.py").read_text() == "VERSION = '1.1'\n"
    pip(home, tmp_path / "c", index, "--no-binary", "team-tool", "team-tool==1.0")
    assert (tmp_path / "c" / "team_tool.py").read_text() == "VERSION = '1.0'\n"
    source = ["--no-deps", "--no-binary", ":all:", "--dest", str(tmp_path / "d"), "team.tool==1.0"]
    run([*PIP, "download", "--index-url", index, *source], home)
    assert (tmp_path / "d" / "team_tool-1.0.tar.gz").read_bytes() == first[1].read_bytes()


def test_hashes_are_checked_and_yanked_versions_are_passed_over(hosted: Stack, home: Path, tmp_path: Path) -> None:
    made = [wheels.wheel("yankee", version) for version in ("1.0", "1.1")]
    assert [publish(hosted, each).status_code for each in made] == [200, 200]
    index = f"{hosted.url}/repository/pypi/simple/"
    yank = f"{hosted.url}/repository/pypi/yankee/1.1/yank"
    assert (
        requests.post(yank, b"breaks on <Mondays>", auth=AUTH, timeout=30).json()["yanked"] == "breaks on <Mondays>"
    )
    locked = tmp_path / "requirements.txt"
    digest = hashlib.sha256(made[0][1]).hexdigest()
    locked.write_text(f"yankee==1.0 --hash=sha256:{digest}\n")
    pip(home, tmp_path / "a", index, "--require-hashes", "-r", str(locked))
    uv_install(home, tmp_path / "b", index, "yankee")
    assert (tmp_path / "b" / "yankee.py").read_text() == "VERSION = '1.0'\n"
    assert [each["yanked"] for each in page(hosted, "simple/yankee/").json()["files"]] == [
        False,
        "breaks on <Mondays>",
    ]
    assert 'data-yanked="breaks on &lt;Mondays&gt;"' in page(hosted, "simple/yankee/", HTML).text
    assert requests.delete(yank, auth=AUTH, timeout=30).status_code == 204
    assert [each["yanked"] for each in page(hosted, "simple/yankee/").json()["files"]] == [False, False]
    assert requests.delete(yank, auth=AUTH, timeout=30).status_code == 404
    missing = yank.replace("1.1", "9.9")
    assert requests.post(missing, b"", auth=AUTH, timeout=30).status_code == 404


def test_what_is_there_is_not_published_again(hosted: Stack, home: Path, tmp_path: Path) -> None:
    made = wheels.wheel("again", "1.0")
    assert publish(hosted, made).status_code == 200
    other = (made[0], wheels.wheel("again", "1.0", "Keywords: other")[1])
    for each in (made, other):
        refused = publish(hosted, each)
        assert (refused.status_code, refused.json()["error"]) == (409, "already_published")
    assert skip_upload(refused, True, None)  # type: ignore[arg-type]  # twine offers --skip-existing for one index only
    with pytest.raises(CommandFailedError, match=rf"(?s)409 Conflict .*/{made[0]} is published already"):
        twine(hosted, home, wheels.saved(tmp_path / "other", other))
    assert page(hosted, f"packages/again/{made[0]}").content == made[1]
    assert "already exists" in uv_publish(hosted, home, wheels.saved(tmp_path / "dist", made), check=True)
    assert [publish(hosted, each, "open-pypi").status_code for each in (made, made, other)] == [200, 200, 200]
    served = page(hosted, f"packages/again/{made[0]}", repository="open-pypi")
    told = page(hosted, "simple/again/", repository="open-pypi").json()["files"][0]
    assert served.content == other[1]
    assert told["hashes"] == {"sha256": hashlib.sha256(other[1]).hexdigest()}


def test_a_private_index_is_for_who_may_read_it(hosted: Stack, home: Path, tmp_path: Path) -> None:
    twine(hosted, home, wheels.saved(tmp_path / "dist", wheels.wheel("secret", "1.0")), repository="private-pypi")
    index = f"{hosted.url}/repository/private-pypi/simple/"
    pip(home, tmp_path / "a", with_login(index), "secret")
    uv_install(home, tmp_path / "b", with_login(index), "secret")
    for path in ("simple/", "simple/secret/", "simple/Secret", "packages/secret/secret-1.0-py3-none-any.whl"):
        assert page(hosted, path, repository="private-pypi").status_code in (401, 404), path
    unknown = requests.post(f"{hosted.url}/repository/pypi/", {":action": "file_upload"}, timeout=30)
    assert unknown.status_code == 401


def test_a_page_has_three_forms(hosted: Stack) -> None:
    made = wheels.wheel("forms", "1.0", "Requires-Python: >=3.8,<4")
    assert publish(hosted, made).status_code == 200
    told = page(hosted, "simple/forms/").json()
    (file,) = told["files"]
    assert (told["meta"], told["name"], told["versions"]) == ({"api-version": "1.1"}, "forms", ["1.0"])
    digest = hashlib.sha256(made[1]).hexdigest()
    assert file["url"] == f"../../packages/forms/{made[0]}"
    assert (file["hashes"], file["size"]) == ({"sha256": digest}, len(made[1]))
    assert (file["requires-python"], file["upload-time"][-1]) == (">=3.8,<4", "Z")
    metadata = page(hosted, f"packages/forms/{made[0]}.metadata")
    assert metadata.text.startswith("Metadata-Version: 2.1\nName: forms")
    digests = {"sha256": hashlib.sha256(metadata.content).hexdigest()}
    assert file["core-metadata"] == file["dist-info-metadata"] == digests
    html = page(hosted, "simple/forms/", HTML).text
    assert f'href="../../packages/forms/{made[0]}#sha256={digest}"' in html
    assert 'data-requires-python="&gt;=3.8,&lt;4"' in html
    assert f'data-core-metadata="sha256={digests["sha256"]}"' in html
    assert {"name": "forms"} in page(hosted, "simple/").json()["projects"]
    etags = set()
    for kind in (HTML, HTML_V1, JSON_V1):
        answer = page(hosted, "simple/forms/", kind)
        assert (answer.headers["Content-Type"].partition(";")[0], answer.headers["Vary"]) == (kind, "Accept")
        headers = {"Accept": kind, "If-None-Match": answer.headers["ETag"]}
        again = requests.get(answer.url, headers=headers, timeout=30)
        assert (again.status_code, again.content) == (304, b"")
        head = requests.head(answer.url, headers={"Accept": kind}, timeout=30)
        assert head.headers["Content-Length"] == str(len(answer.content))
        etags.add(answer.headers["ETag"])
        assert page(hosted, f"simple/forms/?format={kind}", "*/*").content == answer.content
    assert len(etags) == 2


def test_an_index_is_there_before_the_first_package(hosted: Stack) -> None:
    url = blank(hosted.url, "pypi")
    for kind in (HTML, HTML_V1, JSON_V1):
        answer = requests.get(f"{url}/simple/", headers={"Accept": kind}, timeout=30)
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)
        assert answer.headers["Vary"] == "Accept"
    assert requests.get(f"{url}/simple/none/", timeout=30).status_code == 404


def test_names_have_one_spelling(hosted: Stack) -> None:
    assert publish(hosted, wheels.wheel("Many-Names", "1.0")).status_code == 200
    for path in ("simple/Many_Names/", "simple/many.names", "simple/many-names", "simple/MANY--names/?format=x"):
        moved = page(hosted, path)
        assert moved.status_code == 301, path
        target = urljoin(moved.url, moved.headers["Location"])
        assert target.partition("?")[0] == f"{hosted.url}/repository/pypi/simple/many-names/", path
        assert target.partition("?")[2] == path.partition("?")[2]
    assert page(hosted, "simple").headers["Location"] == "simple/"
    assert page(hosted, "simple/no-such-project/").status_code == 404


@pytest.mark.parametrize("path", ["simple/HTTP:3405803777", "simple/HTTP:3405803777/", "simple/JavaScript:alert(1)"])
def test_nobody_is_sent_elsewhere(hosted: Stack, path: str) -> None:
    assert page(hosted, path).status_code == 404


def respelled(name: str, version: str, *lines: str) -> tuple[str, bytes]:
    """A source distribution whose file is called just so."""
    return f"{name}-{version}.tar.gz", wheels.sdist(name, version, *lines)[1]


def test_another_spelling_is_the_same_file(hosted: Stack) -> None:
    assert publish(hosted, respelled("spelled", "1.0")).status_code == 200
    for number, (name, version) in enumerate([("Spelled", "1.0"), ("spelled", "v1.0"), ("SPELLED", "1.0.0")]):
        refused = publish(hosted, respelled(name, version, f"Keywords: {number}"))
        assert (refused.status_code, refused.json()["error"]) == (409, "already_published"), (name, version)
    assert publish(hosted, wheels.wheel("spelled", "1.0.0")).status_code == 200  # another kind of file
    yank = f"{hosted.url}/repository/pypi/spelled/1/yank"
    assert requests.post(yank, b"bad", auth=AUTH, timeout=30).json()["yanked"] == "bad"
    assert [each["yanked"] for each in page(hosted, "simple/spelled/").json()["files"]] == ["bad", "bad"]
    for made in (respelled("spelled", "1.0"), respelled("Spelled", "1.0.0", "Keywords: new")):
        assert publish(hosted, made, "open-pypi").status_code == 200
    (file,) = page(hosted, "simple/spelled/", repository="open-pypi").json()["files"]
    assert file["filename"] == "Spelled-1.0.0.tar.gz"


def test_the_list_of_projects_changes_with_the_first_file_and_the_last(tmp_path: Path) -> None:
    class Some:
        """Contents of a project with these files."""

        def __init__(self, *found: Item) -> None:
            self.found = found

        def items(self, scope: str) -> Iterator[Item]:
            yield from self.found

        def find(self, path: str) -> None:
            return None

    def first(*found: Item) -> New:
        contents: Contents = Some(*found)  # type: ignore[assignment]
        name, body = wheels.sdist("demo", "1.0")
        with Upload(tmp_path, "pypi") as upload:
            upload.write(body)
            fields = {":action": ["file_upload"], "name": ["demo"], "version": ["1.0"]}
            files = [Sent("content", name, "", upload)]
            post = Post(Repository("pypi", Kind.LOCAL), "POST", "", fields=fields, files=files)
            assert HOST.turn(post) == "project demo"
            return HOST.accept(post, contents).new[0]

    other = Item("packages/demo/demo-0.9.tar.gz", 1, "", 0.0, '{"version": "0.9"}')
    assert (first().also, first().when_gone) == (("",), ("",))
    assert (first(other).also, first(other).when_gone) == ((), ("",))


@pytest.mark.parametrize(
    ("lost", "sent"),
    [([], [""]), ([""], [""]), ([".metadata"], [".metadata"]), (["", ".metadata"], ["", ".metadata"])],
)
def test_what_was_lost_is_published_again(tmp_path: Path, lost: list[str], sent: list[str]) -> None:
    """And nothing else: what is sent of a file that is whole is refused by whoever records it."""
    name, body = wheels.wheel("lost", "1.0")
    path, found = f"packages/lost/{name}", dict[str, str]()

    class Some:
        """Contents of which these files have no bytes any more."""

        def items(self, scope: str) -> Iterator[Item]:
            yield from ()

        def find(self, path: str) -> Entry | None:
            return Entry(found[path], 1) if path in found else None

        def open(self, asked: str) -> io.BytesIO:
            if asked.removeprefix(path) in lost:
                raise NotFound("no such file")
            return io.BytesIO()

    contents: Contents = Some()  # type: ignore[assignment]
    with Upload(tmp_path, "pypi") as upload:
        upload.write(body)
        post = Post(Repository("pypi", Kind.LOCAL), "PUT", name, files=[Sent("", "", "", upload)])
        first = HOST.accept(post, contents).new
        assert [each.path for each in first] == [path, f"{path}.metadata"]
        for each in first:
            found[each.path] = hashlib.sha256(each.body if isinstance(each.body, bytes) else body).hexdigest()
        again = [each.path.removeprefix(path) for each in HOST.accept(post, contents).new]
    assert again == sent


def test_what_is_deleted_leaves_the_index(hosted: Stack) -> None:
    made = [wheels.wheel("leaving", "1.0"), wheels.sdist("leaving", "1.0"), wheels.wheel("leaving", "2.0")]
    assert [publish(hosted, each).status_code for each in made] == [200] * 3
    base = f"{hosted.url}/repository/pypi"
    assert requests.post(f"{base}/leaving/1.0/yank", b"", auth=AUTH, timeout=30).status_code == 200
    for number, (name, _) in enumerate(made):
        file = f"{base}/packages/leaving/{name}"
        assert requests.delete(f"{file}.metadata", auth=AUTH, timeout=30).status_code == 400
        assert requests.delete(file, auth=AUTH, timeout=30).status_code == 204
        assert [page(hosted, f"packages/leaving/{name}{end}").status_code for end in ("", ".metadata")] == [404, 404]
        assert requests.delete(file, auth=AUTH, timeout=30).status_code == 404
        if number < 2:
            left = [each["filename"] for each in page(hosted, "simple/leaving/").json()["files"]]
            assert left == [each for each, _ in made[number + 1 :]]
    assert page(hosted, "simple/leaving/").status_code == 404
    assert page(hosted, "yanked/leaving/1.0").status_code == 404
    assert {"name": "leaving"} not in page(hosted, "simple/").json()["projects"]


def test_a_signature_is_kept_and_attestations_are_refused(hosted: Stack) -> None:
    name, body = wheels.wheel("signed", "1.0")
    armoured = b"-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    form = {":action": "file_upload", "name": "signed", "version": "1.0"}
    url = f"{hosted.url}/repository/pypi/"
    files = {"content": (name, body)}
    refused = requests.post(url, form | {"attestations": "[]"}, files=files, auth=AUTH, timeout=30)
    assert (refused.status_code, "attestations" in refused.json()["message"]) == (400, True)
    files["gpg_signature"] = (f"{name}.asc", armoured)
    assert requests.post(url, form, files=files, auth=AUTH, timeout=30).status_code == 200
    assert page(hosted, "simple/signed/").json()["files"][0]["gpg-sig"] is True
    assert page(hosted, f"packages/signed/{name}.asc").content == armoured
    assert requests.delete(f"{url}packages/signed/{name}", auth=AUTH, timeout=30).status_code == 204
    assert page(hosted, f"packages/signed/{name}.asc").status_code == 404


def put(hosted: Stack, path: str, body: bytes | None, form: bytes | None = None) -> requests.Response:
    url, files = f"{hosted.url}/{path}", {"file": ("any", form)} if form is not None else None
    return requests.put(url, body, files=files, auth=AUTH, timeout=30)


@pytest.mark.parametrize("way", ["repository", "api/v1/remote", "api/v1/local"])
def test_a_file_is_put_read_and_deleted_at_one_url(hosted: Stack, way: str) -> None:
    project = f"put-{way.replace('/', '-')}"
    made, source = wheels.wheel(project, "1.0", "Requires-Python: >=3.8"), wheels.sdist(project, "1.0")
    for (name, body), at, raw in ((made, "", True), (source, f"packages/{project.upper()}/", False)):
        path = f"{way}/pypi/{at}{name}"
        told = put(hosted, path, body if raw else None, None if raw else body)
        assert (told.status_code, told.json()["path"]) == (201, f"packages/{project}/{name}"), told.text
        assert told.headers["Location"] == f"{hosted.url}/repository/pypi/packages/{project}/{name}"
        assert put(hosted, path, body).json()["error"] == "already_published"
        assert requests.get(f"{hosted.url}/{path}", timeout=30).content == body
        assert requests.head(f"{hosted.url}/{path}", timeout=30).headers["Content-Length"] == str(len(body))
    files = page(hosted, f"simple/{project}/").json()["files"]
    found = [(each["filename"], each.get("requires-python")) for each in files]
    assert found == [(made[0], ">=3.8"), (source[0], None)]
    assert page(hosted, f"packages/{project}/{made[0]}.metadata").status_code == 200
    assert requests.delete(f"{hosted.url}/{way}/pypi/{made[0]}", auth=AUTH, timeout=30).status_code == 204
    assert [each["filename"] for each in page(hosted, f"simple/{project}/").json()["files"]] == [source[0]]


def test_a_file_is_posted_without_a_word(hosted: Stack) -> None:
    name, body = wheels.wheel("wordless", "1.0")
    url = f"{hosted.url}/repository/pypi/"
    for status in (200, 409):
        sent = requests.post(url, files={"file": (name, body)}, auth=AUTH, timeout=30)
        assert sent.status_code == status, sent.text
    assert page(hosted, "simple/wordless/").json()["versions"] == ["1.0"]


def test_a_form_may_have_many_fields(hosted: Stack) -> None:
    form = [(":action", "file_upload"), ("name", "wide"), ("version", "1.0"), ("description", "x" * (1 << 20))]
    form += [("requires_dist", f"other-{number}") for number in range(1000)]
    files = {"content": wheels.wheel("wide", "1.0")}
    sent = requests.post(f"{hosted.url}/repository/pypi/", form, files=files, auth=AUTH, timeout=30)
    assert sent.status_code == 200, sent.text


def test_simultaneous_uploads_all_end_up_in_the_index(hosted: Stack) -> None:
    made = [wheels.wheel("crowd", f"1.{number}") for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda each: publish(hosted, each).status_code, made)) == {200}
    assert page(hosted, "simple/crowd/").json()["versions"] == [f"1.{number}" for number in range(16)]
