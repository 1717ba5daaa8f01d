"""compose.yaml: no secret is in it, its nodes are a fleet, and the servers understand their commands."""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.supervisor.embedded import GRACE, _valkey_binary
from app.supervisor.processes import Command, Process
from tests.conftest import require
from tests.deploy.front import DEPLOY, replaced
from tests.deploy.shipped import STOPPING, image, kubernetes, settings_of
from tests.seaweed import PARTS, _weed
from tests.stack import ROOT, eventually, free_port

SECRETS = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "S3_SECRET_KEY", "ADMIN_TOKEN", "EDGE_TOKEN"}


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """compose.yaml with every secret set, as Compose interpolates it."""
    text = (ROOT / "compose.yaml").read_text("utf-8")
    found = _interpolated(yaml.safe_load(text))
    assert set(re.findall(r"\$\{([A-Z0-9_]+):\?", text)) == SECRETS
    return dict(found)


def _interpolated(value: Any) -> Any:
    """Every variable in it replaced: a secret by its name and some digits, others by their default."""
    if isinstance(value, dict):
        return {key: _interpolated(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each) for each in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"\$\{([A-Z0-9_]+):\?[^}]*\}", lambda match: f"{match[1].lower()}0123456789", value)
    value = re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", value)
    assert "$" not in value.replace("$$", "")
    return value.replace("$$", "$")


def test_no_secret_is_committed() -> None:
    """Wherever a password or a key stands, a variable that must be set does."""
    lines = (ROOT / "compose.yaml").read_text("utf-8").splitlines()
    for line in lines:
        if re.search(r"(PASSWORD|SECRET|TOKEN|_URL: (postgres|redis)|requirepass|CLI_AUTH)", line) and ": " in line:
            assert line.startswith("#") or ":?" in line, line
    kinds = [each["kind"] for each in kubernetes()]
    assert "Secret" not in kinds


def test_both_nodes_are_a_fleet(composed: dict[str, Any]) -> None:
    nodes = {name: each for name, each in composed["services"].items() if name.startswith("node")}
    found = {name: settings_of(image() | each["environment"], *image()) for name, each in nodes.items()}
    assert {name: each.node_url for name, each in found.items()} == {
        "node1": "http://node1:8080",
        "node2": "http://node2:8080",
    }
    shared = {(each.database_url, each.redis_url, each.storage_url, each.admin_token) for each in found.values()}
    assert len(shared) == 1 and None not in shared.pop()
    for each in nodes.values():
        assert seconds(each["stop_grace_period"]) > STOPPING
        assert f"{each['volumes'][0]}" == "./remotes.json:/etc/artifactapi/remotes.json:ro"


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_everything_waits_for_what_it_needs(composed: dict[str, Any]) -> None:
    services = composed["services"]
    for name, each in services.items():
        for other, on in each.get("depends_on", {}).items():
            assert on == {"condition": "service_healthy"}
            assert "healthcheck" in services[other] or services[other].get("build") == ".", (name, other)
        networks = set(each["networks"])
        assert networks <= set(composed["networks"])
        mounted = {volume.partition(":")[0] for volume in each.get("volumes", []) if not volume.startswith("./")}
        assert mounted <= set(composed["volumes"])
    assert (
        services["nginx"]["networks"]["front"]["ipv4_address"] == services["node1"]["environment"]["TRUSTED_PROXIES"]
    )
    fixed = {name: services[name]["networks"]["front"]["ipv4_address"] for name in ("nginx", "node1", "node2")}
    (front,) = composed["networks"]["front"]["ipam"]["config"]
    hosts = list(ipaddress.ip_network(front["subnet"]).hosts())[1:]  # the first is the bridge's
    assert len(set(fixed.values())) == 3 and all(ipaddress.ip_address(each) in hosts for each in fixed.values())
    assert all(composed["networks"][name]["internal"] for name in ("stores", "blobs"))
    (blobs,) = composed["networks"]["blobs"]["ipam"]["config"]
    stored = services["seaweedfs"]["networks"]["blobs"]["ipv4_address"]
    assert ipaddress.ip_address(stored) in list(ipaddress.ip_network(blobs["subnet"]).hosts())[1:]
    assert not ipaddress.ip_network(blobs["subnet"]).overlaps(ipaddress.ip_network(front["subnet"]))


def test_who_faces_clients_reaches_no_database(composed: dict[str, Any]) -> None:
    found = {name: set(each["networks"]) for name, each in composed["services"].items()}
    nodes = {"front", "stores", "blobs"}
    assert found == {
        "nginx": {"front", "blobs"},
        "edge": {"front"},
        "node1": nodes,
        "node2": nodes,
        "postgres": {"stores"},
        "valkey": {"stores"},
        "seaweedfs": {"blobs"},
    }


def test_the_images_health_check_is_a_nodes(composed: dict[str, Any]) -> None:
    """It asks a node in its own container, so whoever runs something else has another one."""
    ours = {name: each for name, each in composed["services"].items() if each["image"] == "artifactapi"}
    assert {name for name, each in ours.items() if {"command", "entrypoint"} & each.keys()} == {"edge"}
    assert {name for name, each in ours.items() if "healthcheck" in each} == {"edge"}


def test_the_agent_is_healthy_while_it_holds_its_lease(composed: dict[str, Any], tmp_path: Path) -> None:
    kind, script = composed["services"]["edge"]["healthcheck"]["test"]
    command = [require("sh"), "-c", replaced(script, {"/run/artifactapi-edge": str(tmp_path)})]
    assert kind == "CMD-SHELL"
    assert subprocess.run(command, check=False, timeout=30).returncode == 1
    for second in range(30):
        (tmp_path / str(int(time.time()) + second)).touch()
    assert subprocess.run(command, check=False, timeout=30).returncode == 0


def test_the_agent_asks_at_nginxs_door_for_it(composed: dict[str, Any]) -> None:
    assert composed["services"]["edge"]["environment"]["ARTIFACTAPI_EDGE_URL"] == "http://nginx:8090"


def test_nginx_in_compose_is_the_shipped_one_with_both_nodes(composed: dict[str, Any], tmp_path: Path) -> None:
    """Its command is run as it is, but for where files are and that it ends with a look at the outcome."""
    shell, option, script = composed["services"]["nginx"]["command"]
    changes = {
        "/etc/nginx/shipped.conf": str(DEPLOY / "nginx.conf"),
        "/etc/nginx/nginx.conf": str(tmp_path / "nginx.conf"),
        "exec nginx -g 'daemon off;'": "grep -E '  server (no|sea)|Host sea|/edge\\.log|listen 8090' "
        + str(tmp_path / "nginx.conf"),
    }
    done = subprocess.run(
        [require(shell), option, replaced(script, changes)], capture_output=True, text=True, check=True, timeout=30
    )
    assert [line.split()[1].rstrip(";") for line in done.stdout.splitlines()] == [
        *("node1:8080", "node2:8080", "seaweedfs:8333", "/var/log/edge/edge.log"),
        *("Host", "8090"),
    ]


def test_valkey_understands_its_command(composed: dict[str, Any], tmp_path: Path) -> None:
    _, *arguments = composed["services"]["valkey"]["command"]
    path = tmp_path / "s"
    command = [_valkey_binary(), "--port", "0", "--unixsocket", str(path), "--dir", str(tmp_path), *arguments]
    with started("valkey", command, tmp_path):
        eventually(path.exists, "it listens")
        with redis.Redis.from_url(f"unix://:redis_password0123456789@{path}") as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
        once = Retry(NoBackoff(), 0)
        with (
            redis.Redis(unix_socket_path=str(path), retry=once) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_seaweedfs_understands_its_command(composed: dict[str, Any], tmp_path: Path) -> None:
    import boto3
    import botocore.exceptions

    service = composed["services"]["seaweedfs"]
    own = ("-dir=", "-ip=", "-ip.bind=", "-s3.port=")
    kept = [each for each in service["command"] if not each.startswith(own)]
    assert len(kept) == len(service["command"]) - len(own)
    ports = {f"-{part}.port{kind}": free_port() for part in PARTS for kind in ("", ".grpc")}
    place = [f"-dir={tmp_path}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *(f"{k}={v}" for k, v in ports.items())]
    endpoint = f"http://127.0.0.1:{ports['-s3.port']}"
    keys = service["environment"]
    session = boto3.session.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    client = session.client("s3", endpoint_url=endpoint)

    def buckets() -> list[str]:
        try:
            return [each["Name"] for each in client.list_buckets()["Buckets"]]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return []

    with started("weed", [_weed(), "-logtostderr=true", *kept[:1], *place, *kept[1:]], tmp_path, keys):
        eventually(lambda: buckets() == ["artifacts"], "the bucket is there", 60)
        stranger = boto3.session.Session("artifactapi", "another-secret", region_name="us-east-1")
        with pytest.raises(botocore.exceptions.ClientError):
            stranger.client("s3", endpoint_url=endpoint).list_buckets()
        client.close()


class started:  # noqa: N801  a context, as contextlib names them
    """A server that runs until the block ends."""

    def __init__(self, name: str, command: list[str], work: Path, more: dict[str, str] | None = None) -> None:
        environment = {"PATH": os.environ["PATH"], "HOME": str(work), **(more or {})}
        self._command = Command(name, command, work / "record", work, environment, log=work / "log")

    def __enter__(self) -> None:
        self._process = Process.start(self._command)
        time.sleep(0.1)
        assert self._process.ended() is None, self._process.last_words()

    def __exit__(self, *_: object) -> None:
        self._process.stop(GRACE)
