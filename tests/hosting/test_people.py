"""Readers, writers and strangers with the clients that they have: each takes a token in its own way."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.clients.alpine import apk_command
from tests.clients.apk import Apk
from tests.clients.commands import CommandFailedError, run
from tests.clients.conftest import dnf, home, rpms
from tests.clients.dnf import Dnf
from tests.clients.rpms import Package, Rpms
from tests.conftest import require
from tests.containers.containerd import Containerd
from tests.containers.daemon import short_directory
from tests.containers.dockerd import Docker
from tests.containers.images import simple
from tests.hosting import wheels
from tests.hosting.alpine import ARCH, Alpine
from tests.hosting.conftest import TOKEN
from tests.hosting.test_npm import Npm
from tests.hosting.test_oci_clients import daemons, layout
from tests.stack import Stack

__all__ = ["daemons", "dnf", "home", "rpms"]  # fixtures by import

PASSWORD = "correct horse battery"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a token of their own making, as the API gave it."""

    email: str
    token: str

    def at(self, url: str) -> str:
        """The URL with the token in it."""
        return url.replace("://", f"://someone:{self.token}@")


def api(stack: Stack, method: str, path: str, token: str = TOKEN, **body: object) -> requests.Response:
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.request(method, f"{stack.url}/api/v1/{path}", json=body or None, headers=sent, timeout=30)


@pytest.fixture(scope="session")
def person(hosted: Stack) -> Callable[..., Person]:
    """person(role or "", *scopes): a new user, logged in and with a token, in the project `team`."""
    assert api(hosted, "POST", "projects", name="team").status_code in (201, 409)

    def made(role: str, *scopes: str) -> Person:
        email = f"{role or 'nobody'}{next(NUMBERS)}@example.org"
        assert api(hosted, "POST", "users", email=email, password=PASSWORD).status_code == 201
        if role:
            assert api(hosted, "PUT", f"projects/team/members/{email}", role=role).status_code < 300
        access = logged_in(hosted, email)
        given = api(hosted, "POST", "tokens", access, name="laptop", scopes=list(scopes or ("admin",)))
        assert given.status_code == 201, given.text
        return Person(email, given.json()["token"])

    return made


def logged_in(stack: Stack, email: str) -> str:
    """A token for the password. Each person has an address of their own: from one it is five logins a minute."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, 30, (f"127.9.8.{next(NUMBERS) + 1}", 0))
    body = json.dumps({"email": email, "password": PASSWORD})
    connection.request("POST", "/api/v1/auth/login", body, {"Content-Type": "application/json"})
    with contextlib.closing(connection), connection.getresponse() as answer:
        assert answer.status == 200
        token: str = json.load(answer)["access_token"]
    return token


@pytest.fixture(scope="session")
def reader(person: Callable[..., Person]) -> Person:
    return person("reader")


@pytest.fixture(scope="session")
def writer(person: Callable[..., Person]) -> Person:
    return person("writer")


@pytest.fixture(scope="session")
def outsider(person: Callable[..., Person]) -> Person:
    return person("")


def test_curl(hosted: Stack, tmp_path: Path, reader: Person, writer: Person, outsider: Person) -> None:
    curl, home = [require("curl"), "--silent", "--show-error", "--fail"], tmp_path
    url = f"{hosted.url}/repository/private-generic/a.txt"
    (home / "a.txt").write_text("a")
    for login in ([], ["-u", f"x:{reader.token}"], ["-u", f"x:{outsider.token}"], ["-u", "x:wrong"]):
        with pytest.raises(CommandFailedError, match=r"40[134]"):
            run([*curl, *login, "-T", "a.txt", url], home)
    run([*curl, "-u", f"{writer.email}:{writer.token}", "-T", "a.txt", url], home)
    assert run([*curl, "-H", f"Authorization: Bearer {reader.token}", url], home) == "a"
    assert run([*curl, reader.at(url)], home) == "a"
    (home / ".netrc").write_text(f"machine 127.0.0.1 login x password {reader.token}\n")
    assert run([*curl, "--netrc", url], home) == "a"
    for login in ([], ["-u", f"x:{outsider.token}"]):
        with pytest.raises(CommandFailedError, match=r"40[14]"):
            run([*curl, *login, url], home)


def test_dnf(hosted: Stack, rpms: Rpms, dnf: Callable[[str], Dnf], reader: Person, writer: Person) -> None:
    package, url = Package("ours", "1.0"), f"{hosted.url}/repository/private-rpm"
    body = rpms.file(package).read_bytes()
    assert requests.put(writer.at(f"{url}/{package.file}"), data=body, timeout=60).status_code == 201
    machine = dnf(url)
    with pytest.raises(CommandFailedError, match="401"):
        machine("makecache")
    machine("install", "ours", "--setopt=test.username=x", f"--setopt=test.password={reader.token}")
    assert machine.installed() == {"ours": "1.0"}


def test_apk(hosted: Stack, tmp_path: Path, reader: Person, writer: Person) -> None:
    package, url = Alpine("ours"), f"{hosted.url}/repository/private-apk"
    sent = requests.put(writer.at(f"{url}/{ARCH}/{package.file}"), data=package.body, timeout=60)
    assert sent.status_code == 201, sent.text
    command = apk_command(require) or [require("apk")]
    with pytest.raises(CommandFailedError):
        Apk(command, tmp_path / "a", url)("add", "ours")
    machine = Apk(command, tmp_path / "b", reader.at(url))
    machine("add", "ours")
    assert machine.installed().keys() == {"ours"}


def test_pip(hosted: Stack, tmp_path: Path, reader: Person) -> None:
    wheels.publish(hosted, wheels.wheel("ours", "1.0"), "private-pypi").raise_for_status()
    home, url = tmp_path, f"{hosted.url}/repository/private-pypi/simple/"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir"]
    pip += ["install", "ours", "--no-input"]
    with pytest.raises(CommandFailedError):
        run([*pip, "--index-url", url, "--target", str(tmp_path / "a")], home)
    run([*pip, "--index-url", reader.at(url), "--target", str(tmp_path / "b")], home)
    (home / ".netrc").write_text(f"machine 127.0.0.1 login x password {reader.token}\n")
    run([*pip, "--index-url", url, "--target", str(tmp_path / "c")], home)
    assert (tmp_path / "c" / "ours.py").exists()


def test_npm(hosted: Stack, tmp_path: Path, reader: Person, writer: Person) -> None:
    Npm(hosted, tmp_path / "w", "private-npm", writer.token).publish("ours", "1.0.0")
    assert Npm(hosted, tmp_path / "r", "private-npm", reader.token).view("ours", "version") == "1.0.0"
    for number, token in enumerate(("", "wrong")):
        with pytest.raises(CommandFailedError, match="E401"):
            Npm(hosted, tmp_path / f"s{number}", "private-npm", token)("view", "ours")
    with pytest.raises(CommandFailedError, match="E403"):
        Npm(hosted, tmp_path / "q", "private-npm", reader.token).publish("ours", "2.0.0")


def test_docker_logs_in_pulls_and_pushes_by_right(
    hosted: Stack, daemons: tuple[Docker, Containerd], reader: Person, writer: Person
) -> None:
    docker, host = daemons[0], f"127.0.0.1:{hosted.port}"
    skopeo, name = require("skopeo"), f"{host}/private-docker/people/image:v1"
    with short_directory() as place:
        source = layout(simple("people"), place / "in")
        copy = [skopeo, "copy", "--dest-tls-verify=false", f"oci:{source}:v1", f"docker://{name}"]
        with pytest.raises(CommandFailedError, match=r"denied|unauthorized"):
            run([*copy, f"--dest-creds=x:{reader.token}"], place)
        run([*copy, f"--dest-creds=x:{writer.token}"], place)
        run([skopeo, "login", "--tls-verify=false", "-u", "x", "-p", reader.token, host], place)
        assert json.loads(run([skopeo, "inspect", "--tls-verify=false", f"docker://{name}"], place))["Architecture"]
        with pytest.raises(CommandFailedError):
            run([skopeo, "login", "--tls-verify=false", "-u", "x", "-p", "aapi_" + "x" * 43, host], place)
    with pytest.raises(CommandFailedError, match=r"denied|unauthorized|required"):
        docker("pull", "--quiet", name)
    with pytest.raises(CommandFailedError, match="unauthorized"):
        docker("login", "--username=x", "--password=wrong", host)
    assert "Login Succeeded" in docker("login", "--username=x", f"--password={reader.token}", host)
    docker("pull", "--quiet", name)
    with pytest.raises(CommandFailedError, match="denied"):
        docker("push", name)
    docker("logout", host)
    docker("login", "--username=x", f"--password={writer.token}", host)
    docker("tag", name, f"{name}-again")
    docker("push", "--quiet", f"{name}-again")
    docker("logout", host)
    docker.forget()


def test_an_ended_token_ends_everywhere_at_once(hosted: Stack, person: Callable[..., Person]) -> None:
    """Two workers, a login and the fills process: each believes its own copies."""
    somebody = person("reader")
    url = f"{hosted.url}/repository/private-generic/"
    sent = {"Authorization": f"Bearer {somebody.token}"}
    assert {requests.get(url, headers=sent, timeout=30).status_code for _ in range(20)} == {200}
    (mine,) = [
        each for each in api(hosted, "GET", "tokens", somebody.token).json()["tokens"] if each["name"] == "laptop"
    ]
    assert api(hosted, "DELETE", f"tokens/{mine['id']}", somebody.token).status_code == 204
    assert {requests.get(url, headers=sent, timeout=30).status_code for _ in range(20)} == {401}
