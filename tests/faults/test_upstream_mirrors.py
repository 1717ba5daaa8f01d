"""Mirrors of a list: their order, who is asked next, how long a list is believed, and what a hostile one can do."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from app.errors import Unavailable, UpstreamDenied, UpstreamError, UpstreamLied, UpstreamTimeout, UpstreamUnreachable
from app.resource import Digest, Kind, Repository, Resource
from app.upstream import mirrors
from app.upstream.guard import Guard
from app.upstream.metalink import Mirrors, read_metalink, read_mirrorlist
from tests.faults.visits import BRISK, Visitor, rest, visitor
from tests.upstreams import Upstream

__all__ = ["visitor"]

INDEX = "repodata/repomd.xml"
PATIENT = replace(BRISK, first_byte_timeout=1)
BODY = b"<repomd/>"
SHA256, SHA512 = (Digest(name, hashlib.new(name, BODY).hexdigest()) for name in ("sha256", "sha512"))


class Clock:
    """Seconds that only move when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(visitor: Visitor) -> Clock:
    visitor.upstreams.mirrors.clock = clock = Clock()
    return clock


@pytest.fixture
def fleet() -> Iterator[Callable[[int], list[Upstream]]]:
    """Mirrors, each with the index and a file that says whose it is."""
    made: list[Upstream] = []

    def start(number: int) -> list[Upstream]:
        for _ in range(number):
            made.append(server := Upstream())
            server.put(f"/m/{INDEX}", BODY)
            server.put("/m/f", str(server.port).encode())
        return made

    yield start
    for each in made:
        each.stop()


Fleet = Callable[[int], list[Upstream]]


def metalink(*urls: str, hashes: str = "") -> bytes:
    """As MirrorManager writes it: each URL preferred to the next."""
    listed = (
        f'<url protocol="http" type="http" location="XX" preference="{100 - number}">{url}</url>'
        for number, url in enumerate(urls)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<metalink version="3.0" xmlns="http://www.metalinker.org/" xmlns:mm0="http://mirrors.example/mm">'
        f'<files><file name="repomd.xml"><mm0:timestamp>1</mm0:timestamp><size>{len(BODY)}</size>'
        f"<verification>{hashes}</verification>"
        '<mm0:alternates><mm0:alternate><verification><hash type="sha512">'
        f"{'f' * 128}</hash></verification></mm0:alternate></mm0:alternates>"
        f'<resources maxconnections="1">{"".join(listed)}</resources></file></files></metalink>'
    ).encode()


def hashed(*digests: Digest) -> str:
    return "".join(f'<hash type="{each.algorithm}">{each.value}</hash>' for each in digests)


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote whose list is at /list of `source`, asked through a Visitor's Upstreams."""

    visitor: Visitor
    repository: Repository

    def get(self, path: str = "f") -> tuple[int, bytes]:
        with self.visitor.upstreams.open(self.resource(path)) as download:
            return download.status, b"".join(iter(lambda: download.read(65536), b""))

    def url(self, path: str = "f") -> str:
        with self.visitor.upstreams.open(self.resource(path)) as download:
            return download.url

    def pinned(self, path: str = INDEX) -> Digest | None:
        return self.visitor.upstreams.pinned(self.resource(path))

    def demote(self, url: str) -> None:
        self.visitor.upstreams.demote(self.resource("f"), url)

    def resource(self, path: str) -> Resource:
        return Resource(self.repository, path, path)


def remote(visitor: Visitor, source: Upstream, kind: str = "metalink", **more: object) -> Remote:
    keys = {kind: f"{source.url}/list?repo=x&arch=y", "upstream": PATIENT, **more}
    return Remote(visitor, Repository("mirrored", Kind.REMOTE, "rpm", **keys))  # type: ignore[arg-type]


def offer(source: Upstream, *servers: Upstream, hashes: str = "") -> None:
    source.put("/list", metalink(*(f"{each.url}/m/{INDEX}" for each in servers), hashes=hashes))


# order and failures ---------------------------------------------------------------------------------------


def test_the_preferred_mirror_is_asked_and_the_list_once(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    a, b = fleet(2)
    offer(upstream, b, a)
    mirrored = remote(visitor, upstream)
    for _ in range(3):
        assert mirrored.get() == (200, str(b.port).encode())
        rest()
    assert (upstream.count("/list"), upstream.requests[0].query, a.count()) == (1, "repo=x&arch=y", 0)


def test_a_plain_list(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    a, b = fleet(2)
    upstream.put("/list", f"# mirrors\n\n{a.url}/m/\n {b.url}/m  # another\r\n".encode())
    mirrored = remote(visitor, upstream, "mirrorlist")
    assert mirrored.get() == (200, str(a.port).encode())
    a.stop()
    assert mirrored.get() == (200, str(b.port).encode())
    assert mirrored.pinned() is None


FAULTS: dict[str, Callable[[Upstream], None]] = {
    "unreachable": lambda server: server.stop(),
    "silent": lambda server: server.hang(),
    "cut off": lambda server: server.disconnect(),
    "503": lambda server: server.status(503),
    "500": lambda server: server.status(500),
    "429": lambda server: server.status(429),
    "not HTTP": lambda server: server.headers(Content_Length="1, 2"),
    "redirects inside": lambda server: server.redirect("http://10.0.0.1/"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_mirror_is_the_last_for_a_while(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, clock: Clock, fault: str
) -> None:
    a, b = fleet(2)
    offer(upstream, a, b)
    mirrored = remote(visitor, upstream)
    FAULTS[fault](a)
    assert mirrored.get() == (200, str(b.port).encode())
    asked = a.count()
    a.clear()
    assert mirrored.get() == (200, str(b.port).encode())
    assert a.count() == asked
    if fault == "unreachable":
        a.start()
    clock.now += mirrors.REST + 1
    assert mirrored.get() == (200, str(a.port).encode())


def test_what_one_mirror_has_not_got_yet_another_has(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    a, b = fleet(2)
    offer(upstream, a, b)
    b.put("/m/new", b"new")
    mirrored = remote(visitor, upstream)
    assert mirrored.get("new") == (200, b"new")
    assert mirrored.get() == (200, str(a.port).encode())  # it is none the worse for it


def test_what_none_of_them_has_is_a_404(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    a, b, c = fleet(3)
    offer(upstream, a, b, c)
    mirrored = remote(visitor, upstream)
    assert mirrored.get("none")[0] == 404
    assert [each.count("/m/none") for each in (a, b, c)] == [1, 1, 1]
    c.status(503)
    assert mirrored.get("none")[0] == 404  # also where the last one asked does not know


@pytest.mark.parametrize("status", [400, 405, 501])
def test_a_mirror_that_knows_no_head_is_no_worse(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, status: int
) -> None:
    a, b = fleet(2)
    offer(upstream, a, b)
    a.status(status, times=1)
    mirrored = remote(visitor, upstream)
    with visitor.upstreams.open(mirrored.resource("f"), "HEAD") as download:
        assert download.status == status
    assert mirrored.get() == (200, str(a.port).encode())
    assert b.count() == 0


def test_a_herd_asks_for_the_list_once(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    offer(upstream, *fleet(1))
    upstream.latency(0.2)
    mirrored = remote(visitor, upstream)
    with ThreadPoolExecutor(8) as pool:
        assert {status for status, _ in pool.map(mirrored.get, ["f"] * 8)} == {200}
    assert upstream.count("/list") == 1


def test_at_most_a_few_are_asked(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    servers = fleet(7)
    offer(upstream, *servers)
    for each in servers:
        each.status(500, headers={"Retry-After": "7"})
    with pytest.raises(UpstreamError) as caught:
        remote(visitor, upstream).get()
    assert (caught.value.upstream_status, caught.value.retry_after) == (500, 7)
    assert [each.count() for each in servers] == [1] * mirrors.MOST + [0] * 2


def test_no_mirror_is_begun_after_the_time_of_two(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    servers = fleet(5)
    offer(upstream, *servers)
    for each in servers:
        each.hang()
    begun = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        remote(visitor, upstream, upstream=BRISK).get()
    assert sum(each.count() for each in servers) <= 3 and time.monotonic() - begun < 5


def test_every_mirror_down_is_the_last_ones_error(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    servers = fleet(2)
    offer(upstream, *servers)
    mirrored = remote(visitor, upstream)
    for each in servers:
        each.stop()
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable):
            mirrored.get()
    servers[1].start()
    assert mirrored.get()[0] == 200  # those that rest are still asked


# the pin --------------------------------------------------------------------------------------------------


def test_the_strongest_of_the_files_own_checksums_is_pinned(
    visitor: Visitor, upstream: Upstream, fleet: Fleet
) -> None:
    (a,) = fleet(1)
    offer(upstream, a, hashes=hashed(Digest("md5", "0" * 32), Digest("sha1", "1" * 40), SHA256, SHA512))
    mirrored = remote(visitor, upstream)
    assert mirrored.pinned() == SHA512
    assert visitor.upstreams.pins(mirrored.resource(INDEX)) == (SHA512, SHA256, Digest("sha1", "1" * 40))
    assert (mirrored.pinned(f"{INDEX}.asc"), mirrored.pinned("f"), mirrored.pinned("x/" + INDEX)) == (None,) * 3
    assert remote(visitor, upstream, metalink=None, base_urls=(a.url,)).pinned() is None


def test_a_mirror_with_a_wrong_body_is_demoted(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, clock: Clock
) -> None:
    a, b = fleet(2)
    offer(upstream, a, b, hashes=hashed(SHA256))
    mirrored = remote(visitor, upstream)
    a.put(f"/m/{INDEX}", b"of yesterday")
    wrong = mirrored.url(INDEX)
    assert wrong == f"{a.url}/m/{INDEX}"
    mirrored.demote(wrong)
    assert mirrored.get(INDEX) == (200, BODY)
    clock.now += mirrors.REST + 1
    assert mirrored.url(INDEX) == wrong
    mirrored.demote("http://127.0.0.1:9/not/one/of/them")


def test_a_mirror_that_redirects_is_demoted_by_where_it_led(
    visitor: Visitor, upstream: Upstream, fleet: Fleet
) -> None:
    a, b = fleet(2)
    offer(upstream, a, b)
    upstream.put("/elsewhere", b"wrong")
    a.redirect(f"{upstream.url}/elsewhere?token=1", "/m/f")
    mirrored = remote(visitor, upstream)
    wrong = mirrored.url()
    assert wrong == f"{upstream.url}/elsewhere"
    mirrored.demote(wrong)
    assert mirrored.get() == (200, str(b.port).encode())


def test_a_mismatch_asks_for_the_list_again(visitor: Visitor, upstream: Upstream, fleet: Fleet, clock: Clock) -> None:
    """All mirrors may have moved on: then the pin is what is of yesterday."""
    (a,) = fleet(1)
    offer(upstream, a, hashes=hashed(SHA256))
    mirrored = remote(visitor, upstream)
    assert mirrored.pinned() == SHA256
    offer(upstream, a, hashes=hashed(SHA512))
    clock.now += mirrors.SHORTEST + 1
    assert mirrored.pinned() == SHA256
    mirrored.demote(f"{a.url}/m/{INDEX}")
    assert mirrored.pinned() == SHA512


# how long a list is believed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl", "kept"), [(None, 3600.0), (3600.0, 3600.0), (7 * 86400.0, 3600.0), (600.0, 600.0), (0.0, 60.0)]
)
def test_a_list_is_kept(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, clock: Clock, ttl: float | None, kept: float
) -> None:
    offer(upstream, *fleet(1))
    mirrored = remote(visitor, upstream, mutable_ttl=ttl)
    for passed, times in ((0.0, 1), (kept - 1, 1), (1, 2)):
        clock.now += passed
        mirrored.pinned()
        assert upstream.count("/list") == times


def test_an_older_list_serves_while_the_new_one_is_asked_for(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, clock: Clock
) -> None:
    a, b = fleet(2)
    offer(upstream, a)
    mirrored = remote(visitor, upstream)
    assert mirrored.get() == (200, str(a.port).encode())
    offer(upstream, b)
    clock.now += 3600
    assert mirrored.get() == (200, str(a.port).encode())
    upstream.wait_for("/list", n=2)
    end = time.monotonic() + 10
    while mirrored.get() != (200, str(b.port).encode()):
        assert time.monotonic() < end


@pytest.mark.parametrize("fault", ["down", "404", "empty", "login page"])
def test_an_older_list_serves_while_there_is_none(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, clock: Clock, fault: str
) -> None:
    (a,) = fleet(1)
    offer(upstream, a, hashes=hashed(SHA256))
    mirrored = remote(visitor, upstream)
    assert mirrored.pinned() == SHA256
    faults: dict[str, Callable[[], None]] = {
        "down": upstream.stop,
        "404": lambda: upstream.remove("/list"),
        "empty": lambda: offer(upstream),
        "login page": upstream.html,
    }
    faults[fault]()
    clock.now += 3600
    assert mirrored.pinned() == SHA256
    assert mirrored.get()[0] == 200


def test_without_a_list_the_reason_is_told_and_not_asked_for_each_time(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, clock: Clock
) -> None:
    mirrored = remote(visitor, upstream)
    for _ in range(3):
        with pytest.raises(UpstreamError, match="its list of mirrors answered 404") as caught:
            mirrored.get()
        assert caught.value.status == 502
        assert mirrored.pinned() is None
    assert upstream.count("/list") == 1
    offer(upstream, *fleet(1))
    clock.now += mirrors.FAILED
    assert mirrored.get()[0] == 200


def test_another_list_after_a_reload(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    a, b = fleet(2)
    offer(upstream, a)
    remote(visitor, upstream).get()
    upstream.put("/other", f"{b.url}/m\n".encode())
    other = remote(visitor, upstream, metalink=None, mirrorlist=f"{upstream.url}/other")
    assert other.get() == (200, str(b.port).encode())


def test_offline_asks_for_no_list(visitor: Visitor, upstream: Upstream) -> None:
    mirrored = remote(visitor, upstream, offline=True)
    with pytest.raises(Unavailable):
        mirrored.get()
    assert mirrored.pinned() is None and upstream.connections == 0


# strangers ------------------------------------------------------------------------------------------------


def test_strangers_hear_no_secrets_and_the_lists_own_host_does(
    visitor: Visitor, upstream: Upstream, fleet: Fleet
) -> None:
    (a,) = fleet(1)
    upstream.put("/m/g", b"its own")
    offer(upstream, a, upstream)
    options = replace(PATIENT, headers={"X-Api-Key": "hidden"})
    mirrored = remote(visitor, upstream, username="me", password="hidden", upstream=options)
    assert mirrored.get("g") == (200, b"its own")
    assert "hidden" not in str(a.requests[0].headers) and "authorization" not in a.requests[0].headers
    for seen in upstream.requests:
        assert (seen.headers["x-api-key"], "authorization" in seen.headers) == ("hidden", True)


@pytest.mark.parametrize(
    "address",
    ["http://10.0.0.1", "http://169.254.169.254", "http://[fe80::1]", "http://0.0.0.0", "http://2852039166"],
)
def test_a_list_cannot_point_into_networks_it_is_not_in(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, address: str
) -> None:
    """The list of these tests is on loopback, so loopback is all it may name (Guard, and conftest's tripwire)."""
    (a,) = fleet(1)
    upstream.put("/list", metalink(f"{address}/m/{INDEX}", f"{a.url}/m/{INDEX}"))
    assert remote(visitor, upstream).get() == (200, str(a.port).encode())
    upstream.put("/only", metalink(f"{address}/m/{INDEX}"))
    with pytest.raises(UpstreamDenied):
        remote(visitor, upstream, metalink=f"{upstream.url}/only").get()


def test_a_list_of_another_network_cannot_point_here(visitor: Visitor, upstream: Upstream, fleet: Fleet) -> None:
    """Behind a proxy names are the proxy's, so the list is at a name that is not of this machine."""
    (a,) = fleet(1)
    upstream.put("/list", metalink(*(f"http://{host}/m/{INDEX}" for host in (f"127.0.0.1:{a.port}", "m.example"))))
    upstream.put("/m/f", b"by proxy")
    options = replace(PATIENT, proxy=upstream.url)
    mirrored = remote(visitor, upstream, metalink="http://lists.example/list", upstream=options)
    assert mirrored.get() == (200, b"by proxy")
    assert a.count() == 0 and upstream.requests[-1].headers["host"] == "m.example"


@pytest.mark.parametrize("mirror", ["127.0.0.1", "10.0.0.1", "192.168.0.1", "::1", "fd00::1", "169.254.169.254"])
def test_a_public_list_names_no_private_mirror(mirror: str) -> None:
    with pytest.raises(UpstreamDenied):
        Guard("1.1.1.1").admit(mirror)


def test_a_list_s_query_is_not_logged(
    visitor: Visitor, upstream: Upstream, fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """It may hold a key."""
    a, b = fleet(2)
    offer(upstream, a, b)
    a.status(500)
    caplog.set_level("INFO", "app.upstream")
    mirrored = remote(visitor, upstream, metalink=f"{upstream.url}/list?key=sesame")
    assert mirrored.get() == (200, str(b.port).encode())
    assert f"a mirror of 127.0.0.1:{upstream.port} fails" in caplog.text
    upstream.status(500)
    with pytest.raises(UpstreamError):
        remote(visitor, upstream, metalink=f"{upstream.url}/other?key=sesame").get()
    assert "sesame" not in caplog.text and "/list" not in caplog.text


# what lists say -------------------------------------------------------------------------------------------

RFC5854 = f"""<?xml version="1.0"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink" xmlns:x="urn:other">
 <file name="other.xml"><hash type="sha-256">{"0" * 64}</hash><url>http://o.example/repodata/repomd.xml</url></file>
 <file name="repodata/repomd.xml">
  <hash type="sha-1">{"1" * 40}</hash>
  <hash type="sha-256"> {SHA256.value.upper()} </hash>
  <hash type="sha-512">short</hash>
  <pieces length="1" type="sha-512"><hash>{SHA512.value}</hash></pieces>
  <x:hash type="sha-512">{SHA512.value}</x:hash>
  <url>http://last.example/a/repodata/repomd.xml</url>
  <url priority="2" location="de">http://Second.example/repodata/repomd.xml</url>
  <url priority="1">https://first.example/%61/repodata/repomd.xml</url>
  <metaurl mediatype="torrent">http://t.example/repodata/repomd.xml</metaurl>
  <url priority="3">rsync://r.example/repodata/repomd.xml</url>
 </file>
</metalink>""".encode()


def test_the_other_dialect() -> None:
    said, sha1 = read_metalink(RFC5854), Digest("sha1", "1" * 40)
    assert said == Mirrors(
        ("https://first.example/%61", "http://second.example", "http://last.example/a"), (SHA256, sha1)
    )


def test_preference_then_the_order_of_the_list() -> None:
    names = [("a", 1), ("b", 100), ("c", 100), ("d", "x"), ("b", 7)]
    urls = "".join(f'<url preference="{rank}">http://{name}.example/{INDEX}</url>' for name, rank in names)
    body = metalink().replace(b'<resources maxconnections="1">', f"<resources>{urls}".encode())
    assert [url[7] for url in read_metalink(body).urls] == list("bcad")


UNUSABLE = (
    "ftp://h.example/m",
    "rsync://h.example/m",
    "file:///etc",
    "//h.example/m",
    "/m",
    "http://",
    "http://:80/m",
    "http://u:p@h.example/m",
    "http://h.example/m?x=y",
    "http://h.example/m#x",
    "http://h.example/$releasever/$basearch",
    "http://h.example/a/../b",
    "http://h.example/a//b",
    "http://h.example/a b",
    "http://h.example/a\x07",
    "http://h.example:99999/",
    "http://h.example/%2e%2e/b",
    "http://[::1/m",
    f"http://h.example/{'a' * 2048}",
)


@pytest.mark.parametrize("url", UNUSABLE)
def test_what_cannot_be_a_mirror_is_left_out(url: str) -> None:
    assert read_mirrorlist(f"{url}\nhttp://good.example/m/\n".encode()).urls == ("http://good.example/m",)
    with pytest.raises(ValueError, match="names no mirror"):
        read_mirrorlist(url.encode())


def test_a_plain_list_in_odd_clothes() -> None:
    text = "\ufeff# list\r\nHTTPS://A.example/x/\r\n\r\nhttp://b.example/repodata/repomd.xml\r\nhttps://a.example/x\n"
    assert read_mirrorlist(text.encode()).urls == ("https://a.example/x", "http://b.example")
    assert len(read_mirrorlist("".join(f"http://{n}.example/\n" for n in range(999)).encode()).urls) == 256


BOMB = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise("abcdefghij"))
HOSTILE = {
    "an entity that grows": (f'<!DOCTYPE m [<!ENTITY a "aaaa">{BOMB}]><metalink>&j;</metalink>', "DOCTYPE"),
    "an entity from a file": ('<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]><m>&a;</m>', "DOCTYPE"),
    "an entity from nowhere": ("<metalink>&nowhere;</metalink>", "not XML"),
    "depth": ("<a>" * 50_000, "nested too deeply"),
    "half of it": (metalink("http://a.example/m/" + INDEX).decode()[:-20], "not XML"),
    "nothing": ("", "not XML"),
    "no XML": ("http://a.example/m", "not XML"),
    "a page": ("<html><body>log in</body></html>", "names no repomd.xml"),
    "another file": (metalink().decode().replace("repomd.xml", "image.iso"), "names no repomd.xml"),
    "no mirrors": (metalink().decode(), "names no mirror"),
    "mirrors of something else": (metalink("http://a.example/m/image.iso").decode(), "names no mirror"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_metalinks(visitor: Visitor, upstream: Upstream, case: str) -> None:
    body, reason = HOSTILE[case]
    upstream.put("/list", body.encode())
    with pytest.raises(UpstreamLied, match=f"upstream 127.0.0.1:{upstream.port}: its list of mirrors .*{reason}"):
        remote(visitor, upstream).get()


@pytest.mark.parametrize(("body", "reason"), [(b"", "names no mirror"), (b"# gone\n", "no mirror"), (RFC5854, "key")])
def test_hostile_mirrorlists(visitor: Visitor, upstream: Upstream, body: bytes, reason: str) -> None:
    upstream.put("/list", body)
    with pytest.raises(UpstreamLied, match=reason):
        remote(visitor, upstream, "mirrorlist").get()


def test_a_list_without_an_end(visitor: Visitor, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream.put("/list", bytes(24 << 20))
    with pytest.raises(UpstreamLied, match="larger than"):
        remote(visitor, upstream).get()
    assert upstream.sent < 24 << 20
    monkeypatch.setattr(mirrors, "SLOWEST", 0.3)
    upstream.put("/slow", bytes(100))
    upstream.rate(100)
    with pytest.raises(UpstreamTimeout, match="longer than"):
        remote(visitor, upstream, metalink=f"{upstream.url}/slow").get()
