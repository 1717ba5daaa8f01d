"""Registry proxying: ?ns=, OCI-Namespace, and what a proxy says to its upstream ("Registry Proxying", "API")."""

from __future__ import annotations

import base64

import pytest

from tests.conformance.asking import Api
from tests.conformance.prepared import Prepared, sha256
from tests.conformance.test_manifests import lone
from tests.containers.images import Image
from tests.containers.registry import Registry
from tests.stack import Stack
from tests.upstream_wire import Reply, Seen, whole
from tests.upstreams import Upstream

NS = pytest.mark.parametrize("form", ["ns"])


@NS
def test_ns_is_told_back(api: Api, name: str, pushed: Image) -> None:
    """Registry Proxying (end-2, end-3, end-8a), SHOULD: who goes by ns says so in OCI-Namespace."""
    for path in (
        "manifests/v1",
        f"manifests/{pushed.manifest.digest}",
        f"blobs/{pushed.blobs[0].digest}",
        "tags/list",
    ):
        for method in ("GET", "HEAD"):
            for reply in api.stored(f"{name}/{path}", method):
                assert (reply.status, reply.headers["OCI-Namespace"]) == (200, "real.example"), (path, reply)


@NS
@pytest.mark.parametrize("path", ["tags/list?n=0", "tags/list?n=1", f"referrers/{sha256(b'')}"])
def test_ns_is_told_back_of_lists_of_the_proxy_s_own_making(api: Api, name: str, pushed: Image, path: str) -> None:
    """Registry Proxying (end-8b, end-12a), SHOULD: OCI-Namespace is there whoever made the answer."""
    reply = api.ask(f"{name}/{path}")
    assert (reply.status, reply.headers["OCI-Namespace"]) == (200, "real.example"), reply


@pytest.mark.parametrize("ns", ["Real.Example", "REAL.EXAMPLE"])
def test_ns_is_told_back_as_it_was_given(named: Api, name: str, pushed: Image, ns: str) -> None:
    """Registry Proxying (end-3), SHOULD: OCI-Namespace is the value of ns, where that was gone by."""
    reply = named.go(f"/v2/{name}/manifests/v1?ns={ns}")
    assert reply.status == 404 or reply.headers["OCI-Namespace"] == ns, reply


def test_ns_is_optional(named: Api, name: str, pushed: Image) -> None:
    """Registry Proxying (end-3), MAY: with ns and without it is the same image; without it no namespace is told."""
    found = [
        named.go(f"{base}{name}/manifests/v1{ns}")
        for base in ("/v2/", "/v2/real/")
        for ns in ("", "?ns=real.example")
    ]
    assert {reply.body for reply in found} == {pushed.manifest.data}
    for reply in (found[0], found[2]):
        assert reply.headers["OCI-Namespace"] is None, reply


def test_ns_may_be_passed_over(named: Api, name: str, pushed: Image) -> None:
    """Registry Proxying (end-3), MAY: where the path names the repository ns is ignored, and not told back."""
    for base in ("/v2/real/", "/repository/real/v2/"):
        reply = named.go(f"{base}{name}/manifests/v1?ns=made.example")
        assert (reply.body, reply.headers["OCI-Namespace"]) == (pushed.manifest.data, None), reply


@pytest.mark.parametrize("ns", ["other.example", "127.0.0.1:{port}", "", "http%3A%2F%2F127.0.0.1%3A{port}"])
def test_ns_is_looked_up_and_never_dialled(named: Api, name: str, prepared: Prepared, ns: str) -> None:
    """Registry Proxying (end-3, code-9), MAY: ns picks an upstream; one that is not known picks none."""
    prepared.manifest(name, "v1", lone(name))
    before = prepared.count()
    assert named.go(f"/v2/{name}/manifests/v1?ns={ns.format(port=prepared.port)}").told == (404, "NAME_UNKNOWN")
    assert prepared.count() == before


def test_upstream_is_called_by_its_own_name(made: Api, name: str, prepared: Prepared) -> None:
    """Registry Proxying (end-3, end-8a), SHOULD: upstream's Host is its own, and no ns goes to who is no proxy."""
    prepared.manifest(name, "v1", lone(name))
    prepared.tags(f"/v2/{name}/tags/list", "n=1", ["v1"])
    for path in ("manifests/v1", "tags/list?n=1"):
        assert made.ask(f"{name}/{path}").status == 200
    asked = [seen for seen in prepared.requests if seen.path.startswith(f"/v2/{name}/")]
    assert len(asked) >= 2
    assert {seen.headers["host"] for seen in asked} == {f"127.0.0.1:{prepared.port}"}
    assert [seen for seen in asked if "ns=" in seen.query] == []


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_client_s_login_is_not_upstream_s(
    api: Api, name: str, registry: Registry, pushed: Image, scheme: str
) -> None:
    """Registry Proxying (end-2, end-3), SHOULD NOT: credentials of one registry are not sent to another."""
    secret = base64.b64encode(b"me:hidden").decode()
    for path in ("manifests/v1", f"blobs/{pushed.blobs[0].digest}", "tags/list"):
        assert api.ask(f"{name}/{path}", Authorization=f"{scheme} {secret}").status == 200
        assert [hit.authorization for hit in registry.hits(f"{name}/{path}")] == [""]


def test_redirects_are_followed_and_take_no_login_along(known: Api, name: str, prepared: Prepared) -> None:
    """API (end-2), MUST NOT: Authorization does not follow a redirect to another host; the redirect is followed."""
    body, elsewhere = f"a layer of {name}".encode(), Upstream()
    path = f"/known/v2/{name}/blobs/{sha256(body)}"
    elsewhere.put("/storage", body)
    prepared.put(path, b"")

    def guarded(reply: Reply, seen: Seen) -> Reply:
        if "authorization" not in seen.headers:
            return whole(401, {"WWW-Authenticate": 'Basic realm="known"'}, b"")
        return whole(307, {"Location": f"{elsewhere.url}/storage"}, b"")

    prepared.fault(guarded, path)
    try:
        assert known.ask(f"{name}/blobs/{sha256(body)}").body == body
        assert elsewhere.requests
        assert [seen for seen in elsewhere.requests if "authorization" in seen.headers] == []
    finally:
        elsewhere.stop()
        prepared.remove(path)


def test_no_redirect_is_asked_of_clients(api: Api, node: Stack, name: str, pushed: Image) -> None:
    """API (end-2, end-3, end-8a), MAY: a registry may redirect; this one answers by itself, without a Location."""
    for path in ("manifests/v1", f"blobs/{pushed.blobs[0].digest}", "tags/list"):
        for reply in api.every(f"{name}/{path}"):
            assert (reply.status, reply.headers["Location"]) == (200, None), reply
