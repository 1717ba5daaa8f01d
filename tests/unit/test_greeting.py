"""The line that a client can paste, per package."""

from __future__ import annotations

from typing import Any

import pytest

from app import config
from app.formats import FORMATS
from app.hosting import HOSTED
from app.resource import Kind, Repository
from app.supervisor.greeting import greeting

HERE = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("package", "more", "line"),
    [
        ("docker", {"base_urls": ("https://registry-1.docker.io",)}, "docker pull 127.0.0.1:8080/r/library/alpine"),
        ("docker", {"base_urls": ("https://h.example",)}, "docker pull 127.0.0.1:8080/r/IMAGE"),
        (
            "deb",
            {"base_urls": ("https://h.example/ubuntu",)},
            f'echo "deb {HERE}/repository/r $(. /etc/os-release; echo $VERSION_CODENAME) main" '
            "> /etc/apt/sources.list.d/r.list",
        ),
        (
            "rpm",
            {"base_urls": ("https://repo.almalinux.org/almalinux",)},
            f"dnf --repofrompath='r,{HERE}/repository/r/$releasever/BaseOS/$basearch/os' --repo=r install PACKAGE",
        ),
        (
            "rpm",
            {"metalink": "https://h.example/metalink?repo=almalinux"},
            f"dnf --repofrompath='r,{HERE}/repository/r' --repo=r install PACKAGE",
        ),
        ("apk", {"base_urls": ("https://h",)}, f"apk add --repository {HERE}/repository/r/PATH PACKAGE"),
        ("generic", {"base_urls": ("https://h",)}, f"curl -fLO {HERE}/repository/r/PATH"),
        ("maven", {}, f"curl -fo r.xml {HERE}/setup/r/settings.xml && mvn -s r.xml verify"),
        ("cargo", {}, f"curl -fo r.toml {HERE}/setup/r/config.toml && cargo fetch --config r.toml"),
        (
            "terraform",
            {},
            f"curl -fo r.tfrc {HERE}/setup/r/.terraformrc && TF_CLI_CONFIG_FILE=r.tfrc terraform init",
        ),
    ],
    ids=str,
)
def test_a_remotes_line(package: str, more: dict[str, Any], line: str) -> None:
    settings = config.from_environment({"AUTH": "open"})
    remote = Repository("r", Kind.REMOTE, package, **more)
    assert list(greeting(settings, [remote], "", 1.0))[-1] == f"  r: {line}"


@pytest.mark.parametrize("package", sorted(FORMATS))
def test_no_line_touches_a_file_of_the_users_own(package: str) -> None:
    remote = Repository("r", Kind.REMOTE, package, base_urls=("https://h",))
    assert "~" not in list(greeting(config.from_environment({"AUTH": "open"}), [remote], "", 1.0))[-1]


def test_docker_names_the_host_that_clients_use() -> None:
    settings = config.from_environment({"AUTH": "open", "PUBLIC_URL": "https://images.example:8443"})
    remote = Repository("r", Kind.REMOTE, "docker", base_urls=("https://h",))
    assert list(greeting(settings, [remote], "", 1.0))[-1] == "  r: docker pull images.example:8443/r/IMAGE"


@pytest.mark.parametrize(
    ("token", "said", "user"),
    [
        ("sesame", "sesame (kept in /a b/secrets/admin-token)", "admin:sesame"),
        ("", "kept in /a b/secrets/admin-token", "admin:\"$(cat '/a b/secrets/admin-token')\""),
    ],
)
def test_the_token_is_shown_or_where_it_is(token: str, said: str, user: str) -> None:
    settings = config.from_environment({"DATA_DIR": "/a b"})
    _, first, second = greeting(settings, [Repository("r", Kind.LOCAL)], token, 1.0)
    assert first == f"  admin token: {said}"
    assert second == f"  r: curl --fail-with-body -u {user} -T FILE {HERE}/repository/r/FILE"


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("apk", f"curl --fail-with-body -u admin:sesame -T PACKAGE.apk {HERE}/repository/r/main/x86_64/"),
        ("docker", "docker login -u admin -p sesame 127.0.0.1:8080 && docker push 127.0.0.1:8080/r/IMAGE"),
        ("pypi", f"twine upload --repository-url {HERE}/repository/r/ -u __token__ -p sesame dist/*"),
        (
            "npm",
            f"npm publish --registry {HERE}/repository/r/ --//127.0.0.1:8080/repository/r/:_authToken=sesame",
        ),
    ],
)
def test_a_locals_line_is_its_own_clients(package: str, line: str) -> None:
    *_, told = greeting(config.from_environment({}), [Repository("r", Kind.LOCAL, package)], "sesame", 1.0)
    assert told == f"  r: {line}"


@pytest.mark.parametrize("package", sorted(HOSTED))
def test_every_package_has_a_line(package: str) -> None:
    assert list(greeting(config.from_environment({}), [Repository("r", Kind.LOCAL, package)], "sesame", 1.0))
