"""What a node answers while its servers are gone, frozen or failing, and that it recovers without a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from app.supervisor.embedded import Postgres
from tests.conftest import _valkey
from tests.faults.ward import QUESTIONS, Ward, faulty, shown, unhealthy
from tests.fleet.fleet import TOKEN
from tests.fleet.link import Link
from tests.seaweed import SeaweedFS
from tests.stack import StackFactory
from tests.upstreams import Upstream

QUICK = {"connect_timeout": 1, "first_byte_timeout": 2, "stall_timeout": 2}  # seconds
AT_ONCE, SOON = 6.0, 40.0  # seconds in which every answer comes: a server refuses, or says nothing
CHECKS = {"redis": "redis", "postgres": "database", "store": "storage"}  # as /health calls them

# `fresh` and `large` are stored and may be served, `expired` must be asked about, `missing` is not stored, `hosted`
# is the fleet's own and Redis has a copy of its entry, of `unknown` it has none. A word is the X-Cache of a 200.
TABLE = """
case                       fresh  large  expired      missing  hosted  unknown  upload  health  ready  flush
redis gone                 HIT    HIT    REVALIDATED  MISS     HIT     HIT      201     503     200    200
redis frozen               HIT    HIT    REVALIDATED  MISS     HIT     HIT      201     503     200    200
postgres gone              HIT    HIT    REVALIDATED  MISS     HIT     503      503     503     200    503
postgres frozen            HIT    HIT    REVALIDATED  MISS     HIT     503      503     503     200    503
postgres read-only         HIT    HIT    REVALIDATED  MISS     HIT     HIT      503     503     200    503
store gone                 MISS   MISS   MISS         MISS     503     503      503     503     503    200
store frozen               MISS   MISS   MISS         MISS     503     503      503     503     503    200
store broken               MISS   MISS   MISS         MISS     503     503      503     503     503    200
store slow                 HIT    HIT    REVALIDATED  MISS     HIT     HIT      201     200     200    200
upstream gone              HIT    HIT    STALE        502/503  HIT     HIT      201     200     200    200
upstream frozen            HIT    HIT    STALE        504/503  HIT     HIT      201     200     200    200
redis, postgres gone       MISS   MISS   MISS         MISS     503     503      503     503     503    503
redis, store gone          MISS   MISS   MISS         MISS     503     503      503     503     503    200
redis, upstream gone       HIT    HIT    STALE        502/503  HIT     HIT      201     503     200    200
postgres, store gone       MISS   MISS   MISS         MISS     503     503      503     503     503    503
postgres, upstream gone    HIT    HIT    STALE        502/503  HIT     503      503     503     200    503
store, upstream gone       5xx    5xx    5xx          502/503  503     503      503     503     503    200
redis, postgres frozen     MISS   MISS   MISS         MISS     503     503      503     503     503    503
"""
ROWS = {line[:27].strip(): dict(zip(QUESTIONS, line[27:].split(), strict=True)) for line in TABLE.split("\n")[2:-1]}

FAULTS: dict[str, Callable[[Link], None]] = {
    "gone": Link.refuse,
    "frozen": Link.freeze,
    "broken": Link.break_http,
    "slow": lambda link: link.slow(0.1),
    "read-only": Link.cut,
}


@pytest.fixture(scope="module")
def patient(
    stack_factory: StackFactory,
    postgres: Postgres,
    seaweed: SeaweedFS,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Ward]:
    """One node for all cases."""
    _administer(postgres, "CREATE DATABASE degraded TEMPLATE template0")
    upstream = Upstream()
    for valkey in _valkey(tmp_path_factory.mktemp("v")):
        links = {
            "redis": Link(valkey.socket),
            "postgres": Link(postgres.socket),
            "store": Link(("127.0.0.1", seaweed.ports["-s3.port"])),
            "upstream": Link(("127.0.0.1", upstream.port)),
        }
        node = stack_factory(_document(links), "patient", **_settings(links, seaweed)).start()
        yield Ward(node, valkey, upstream, links)
        node.stop()
        for link in links.values():
            link.close()
    upstream.stop()
    _administer(postgres, "DROP DATABASE degraded WITH (FORCE)")


def _document(links: dict[str, Link]) -> dict[str, object]:
    common = {"base_url": f"http://127.0.0.1:{links['upstream'].port}", "upstream": QUICK}
    kept = {**common, "immutable_patterns": [".*"]}
    remotes = {"up": kept, "other": kept, "live": {**common, "cache": {"mutable_ttl": 0}}}
    return {"remotes": remotes, "locals": {"team": {"package": "generic"}}}


def _settings(links: dict[str, Link], seaweed: SeaweedFS) -> dict[str, str]:
    bucket = seaweed.bucket()
    return {
        **bucket.environment,
        "STORAGE_URL": bucket.url,
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{links['store'].port}",
        "REDIS_URL": f"redis://127.0.0.1:{links['redis'].port}",
        "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{links['postgres'].port}/degraded",
        "ADMIN_TOKEN": TOKEN,
        "WORKERS": "4",
    }


def _administer(postgres: Postgres, statement: str) -> None:
    with psycopg.connect(postgres.database_url("postgres"), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def ward(patient: Ward, postgres: Postgres) -> Iterator[Ward]:
    yield patient
    _administer(postgres, "ALTER DATABASE degraded RESET default_transaction_read_only")
    patient.well()


@pytest.mark.parametrize("case", ROWS)
def test_a_row(ward: Ward, postgres: Postgres, case: str) -> None:
    ward.prepare(case)
    *_, fault = case.split(" ")
    ill = case.removesuffix(f" {fault}").split(", ")
    if fault == "read-only":
        _administer(postgres, "ALTER DATABASE degraded SET default_transaction_read_only = on")
    for name in ill:
        FAULTS[fault](ward.links[name])
    found = ward.ask(case, AT_ONCE if fault == "gone" else SOON)
    told = {kind: shown(answer) for kind, answer in found.items()}
    assert {kind: told[kind] for kind in QUESTIONS if not _as_wanted(told[kind], ROWS[case][kind])} == {}
    assert list(faulty(case, found)) == []
    assert fault == "slow" or unhealthy(found["health"]) == {CHECKS[name] for name in ill if name in CHECKS}
    if fault == "read-only":
        _administer(postgres, "ALTER DATABASE degraded RESET default_transaction_read_only")
    ward.well()
    ward.links["postgres"].cut()  # sessions keep what they were told of read-only
    ward.recovers(case)
    assert "Traceback" not in ward.node.log()


def _as_wanted(told: str, wanted: str) -> bool:
    return told in wanted.split("/") or (wanted == "5xx" and told in ("502", "503", "504"))
