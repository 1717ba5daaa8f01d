"""Push: blobs, whole, in chunks, mounted (end-4a to end-6, end-11, end-13, end-14)."""

from __future__ import annotations

import socket

import pytest

from tests.conformance.pushing import BINARY, Local, body, digest
from tests.stack import Stack, eventually


def test_a_blob_is_pushed_by_post_and_put(local: Local, name: str) -> None:
    """Pushing a blob monolithically (end-4a, end-6), MUST: 202 with Location, then 201 with that of the blob."""
    data = body()
    begun = local.ask(f"{name}/blobs/uploads/", "POST")
    assert (begun.status, begun.body) == (202, b"")
    place = begun.headers["Location"]
    done = local.go(f"{place}?digest={digest(data)}", "PUT", data, Content_Type=BINARY)
    assert (done.status, done.digest) == (201, digest(data))
    assert local.go(done.headers["Location"]).body == data


def test_a_blob_is_pushed_by_one_post(local: Local, name: str) -> None:
    """Single POST (end-4b), MUST: 201 with Location where digest and body come with the POST."""
    data = body()
    done = local.ask(f"{name}/blobs/uploads/?digest={digest(data)}", "POST", data, Content_Type=BINARY)
    assert done.status == 201
    assert local.go(done.headers["Location"]).body == data


def test_a_blob_is_pushed_in_chunks(local: Local, name: str) -> None:
    """Pushing a blob in chunks (end-4a, end-5, end-6), MUST: each 202 with Location and Range, and 201 at the end."""
    data = body("x" * 1000)
    place, sent = local.begin(name), 0
    for part in (data[:400], data[400:401], data[401:]):
        span = f"{sent}-{sent + len(part) - 1}"
        reply = local.go(place, "PATCH", part, Content_Type=BINARY, Content_Range=span)
        sent += len(part)
        assert (reply.status, reply.headers["Range"]) == (202, f"0-{sent - 1}")
        place = reply.headers["Location"]
    done = local.go(f"{place}?digest={digest(data)}", "PUT")
    assert done.status == 201
    assert local.go(done.headers["Location"]).body == data


def test_the_last_chunk_may_come_with_put(local: Local, name: str) -> None:
    """Pushing a blob in chunks (end-6), MUST: the final PUT may have the last chunk for its body."""
    data = body("x" * 1000)
    place = local.go(local.begin(name), "PATCH", data[:500], Content_Range="0-499").headers["Location"]
    span = f"500-{len(data) - 1}"
    done = local.go(f"{place}?digest={digest(data)}", "PUT", data[500:], Content_Type=BINARY, Content_Range=span)
    assert done.status == 201
    assert local.ask(f"{name}/blobs/{digest(data)}").body == data


def test_a_chunk_out_of_order_is_refused(local: Local, name: str) -> None:
    """Pushing a blob in chunks (end-5), MUST: 416 for a chunk that does not begin where the others end."""
    place = local.go(local.begin(name), "PATCH", b"0123456789", Content_Range="0-9").headers["Location"]
    for span in ("0-9", "5-14", "11-20"):
        reply = local.go(place, "PATCH", b"0123456789", Content_Range=span)
        assert (reply.status, reply.headers["Content-Range"]) == (416, "bytes */10")
    assert local.go(f"{place}?digest={digest(b'0123456789')}", "PUT", b"x", Content_Range="4-4").status == 416
    assert local.go(place, "PATCH", b"0123456789", Content_Range="10-19").status == 202


@pytest.mark.parametrize("span", ["", "x", "9-0", "-5", "0-", "0-9,10-19", "bytes", "0-99999999999999999999"])
def test_a_chunk_of_no_range_is_refused(team: Local, name: str, span: str) -> None:
    """Pushing a blob in chunks (end-5), MUST: Content-Range is first-last, and as long as the body."""
    reply = team.go(team.begin(name), "PATCH", b"0123456789", Content_Range=span or "0-3")
    assert reply.status == 400


def test_a_chunk_is_streamed(local: Local, name: str) -> None:
    """Pushing Blobs (end-5), MAY: a chunk without Content-Range, of a length that is not told, goes on at the end."""
    data = body("x" * 1000)
    place = local.begin(name)
    for part in (data[:100], data[100:]):
        reply = local.go(place, "PATCH", iter([part[:50], part[50:]]), Content_Type=BINARY)
        assert reply.status == 202
    assert local.go(f"{place}?digest={digest(data)}", "PUT").status == 201
    assert local.ask(f"{name}/blobs/{digest(data)}").body == data


def test_how_far_an_upload_is_can_be_asked_for(local: Local, name: str) -> None:
    """Pushing a blob in chunks (end-13), MUST: 204 with Location and Range."""
    place = local.begin(name)
    assert local.go(place).status == 204
    local.go(place, "PATCH", b"0123456789", Content_Range="0-9")
    reply = local.go(place)
    assert (reply.status, reply.headers["Range"], reply.body) == (204, "0-9", b"")
    assert local.go(reply.headers["Location"], "PATCH", b"x", Content_Range="10-10").status == 202


def test_an_upload_is_given_up(local: Local, name: str) -> None:
    """Cancel a blob upload (end-14), MUST: DELETE is 204, and then there is no such upload."""
    place = local.begin(name)
    local.go(place, "PATCH", b"0123456789")
    assert local.go(place, "DELETE").status == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert local.go(place, method, b"x" if method == "PATCH" else None).told == (404, "BLOB_UPLOAD_UNKNOWN")
    reply = local.go(f"{place}?digest={digest(b'0123456789')}", "PUT")
    assert reply.told == (404, "BLOB_UPLOAD_UNKNOWN")


def test_an_upload_belongs_to_its_image(local: Local, name: str) -> None:
    """Error Codes (code-3), MUST: an upload goes on under the name under which it was begun, and under no other."""
    place = local.begin(name)
    for other in (place.replace(name, f"{name}-2"), place.replace("team/", "other/", 1), f"{place}x", place[:-1]):
        if other != place:
            assert local.go(other).status == 404


def test_bytes_of_another_digest_are_refused(local: Local, name: str) -> None:
    """Pushing Blobs (end-4b, end-6, code-4), MUST: what does not have the digest is refused, and is not there."""
    data, wrong = body(), digest(b"other")
    assert local.ask(f"{name}/blobs/uploads/?digest={wrong}", "POST", data).told == (400, "DIGEST_INVALID")
    place = local.begin(name)
    assert local.go(f"{place}?digest={wrong}", "PUT", data).told == (400, "DIGEST_INVALID")
    for known in (wrong, digest(data)):
        assert local.ask(f"{name}/blobs/{known}", "HEAD").status == 404


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:xyz", "md5:d41d8cd98f00b204e9800998ecf8427e", "../../etc"])
def test_what_is_no_digest_is_refused(team: Local, name: str, text: str) -> None:
    """Pushing Blobs (end-4b, end-6, end-11, code-4), MUST: a digest is what image-spec's descriptor.md says."""
    assert team.go(f"{team.begin(name)}?digest={text}", "PUT", b"x").told == (400, "DIGEST_INVALID")
    for query in (f"digest={text}", f"mount={text}&from=team/{name}"):
        assert team.ask(f"{name}/blobs/uploads/?{query}", "POST", b"x").told == (400, "DIGEST_INVALID")


def test_a_blob_is_pushed_under_its_sha512(local: Local, name: str) -> None:
    """Pushing Blobs (end-4b, end-6), MAY: sha512 is a digest as good as any, and is verified."""
    data = body()
    known = digest(data, "sha512")
    wrong = digest(b"other", "sha512")
    assert local.ask(f"{name}/blobs/uploads/?digest={wrong}", "POST", data).told == (400, "DIGEST_INVALID")
    local.blob(name, data, "sha512")
    assert local.ask(f"{name}/blobs/{known}").digest == known
    place = local.begin(f"{name}-2")
    for part in (data[:3], data[3:]):
        local.go(place, "PATCH", part)
    assert local.go(f"{place}?digest={known}", "PUT").status == 201
    assert local.ask(f"{name}-2/blobs/{known}").body == data


def test_a_blob_of_no_bytes_is_pushed(local: Local, name: str) -> None:
    """Pushing Blobs (end-4a, end-6), MUST: a blob has as many bytes as it has, were it none."""
    assert local.go(f"{local.begin(name)}?digest={digest(b'')}", "PUT").status == 201
    reply = local.ask(f"{name}/blobs/{digest(b'')}")
    assert (reply.status, reply.body) == (200, b"")


def test_a_blob_that_is_there_is_pushed_again(local: Local, name: str) -> None:
    """Pushing Blobs (end-4a, end-4b, end-6), MUST: 201 for a blob that the repository has already."""
    data = body()
    for _ in range(2):
        local.blob(name, data)
        assert local.go(f"{local.begin(name)}?digest={digest(data)}", "PUT", data).status == 201


def test_the_same_put_may_come_twice(local: Local, name: str) -> None:
    """Pushing Blobs (end-6), MUST: 201, also where a proxy repeats a PUT whose answer was lost (RFC 9110, 9.2.2)."""
    data = body()
    place = local.begin(name)
    for _ in range(2):
        assert local.go(f"{place}?digest={digest(data)}", "PUT", data).status == 201
    place = local.go(local.begin(name), "PATCH", data + b"2").headers["Location"]  # the first node died after that
    assert local.go(f"{place}?digest={digest(data + b'2')}", "PUT", data + b"2").status == 201


def test_a_blob_is_there_for_its_image_alone(local: Local, name: str) -> None:
    """Pushing Blobs (end-2), MUST: what is pushed to one repository is not found in the next."""
    known = local.blob(name, body())
    assert local.ask(f"{name}/blobs/{known}", "HEAD").status == 200
    assert local.ask(f"{name}-2/blobs/{known}").told == (404, "BLOB_UNKNOWN")


# -- mounting -------------------------------------------------------------------------------------------------


def test_a_blob_is_mounted(local: Local, name: str) -> None:
    """Mounting a blob from another repository (end-11), MUST: 201 with Location, and the blob can be pulled."""
    data = body()
    known = local.blob(name, data)
    query = f"mount={known}&from={local.called(name)}"
    reply = local.ask(f"{name}-2/blobs/uploads/?{query}", "POST")
    assert reply.status == 201
    assert local.go(reply.headers["Location"]).body == data


def test_what_cannot_be_mounted_is_uploaded(local: Local, name: str) -> None:
    """Mounting a blob from another repository (end-11), SHOULD: 202 as for an upload where there is none to mount."""
    data = body()
    for source in (f"{local.called(name)}-none", "nobody/knows", "..", ""):
        reply = local.ask(f"{name}/blobs/uploads/?mount={digest(data)}&from={source}", "POST")
        assert reply.status == 202
    assert local.go(f"{reply.headers['Location']}?digest={digest(data)}", "PUT", data).status == 201


def test_a_blob_is_mounted_from_anywhere(local: Local, name: str) -> None:
    """Mounting a blob from another repository (end-11), MAY: without `from` it is found by itself."""
    known = local.blob(name, body())
    assert local.ask(f"{name}-2/blobs/uploads/?mount={known}", "POST").status == 201
    assert local.ask(f"{name}-2/blobs/{known}", "HEAD").status == 200
    assert local.ask(f"{name}-2/blobs/uploads/?mount={digest(b'nowhere')}", "POST").status == 202


def test_a_blob_is_mounted_from_another_local(team: Local, closed: Local, name: str) -> None:
    """Mounting a blob from another repository (end-11), MUST: also where the whole registry calls it so."""
    known = closed.blob(name, body())
    reply = team.ask(f"{name}/blobs/uploads/?mount={known}&from=closed/{name}", "POST")
    assert (reply.status, team.ask(f"{name}/blobs/{known}", "HEAD").status) == (201, 200)


# -- who may --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", "1"), ("PUT", "1?digest=x"), ("DELETE", "1")])
def test_who_is_not_known_pushes_nothing(stranger: Local, name: str, method: str, path: str) -> None:
    """Error Codes (code-11), MUST: a 401 with a challenge for who has no token."""
    reply = stranger.ask(f"{name}/blobs/uploads/{path}", method)
    assert reply.told == (401, "UNAUTHORIZED")
    assert reply.headers["WWW-Authenticate"]


@pytest.mark.parametrize("image", ["Upper", "a//b", "-a", "a/-b", "a" * 256, "a/..", "ü"])
def test_no_other_name_is_pushed_to(team: Local, image: str) -> None:
    """Pushing Blobs (end-4a, code-8), MUST: <name> is nothing else than its expression matches."""
    reply = team.ask(f"{image.replace('ü', '%C3%BC')}/blobs/uploads/", "POST")
    assert reply.told == (400, "NAME_INVALID")


def test_what_breaks_off_is_not_there(hosting: Stack, team: Local, name: str) -> None:
    """Pushing a blob in chunks (end-5), MUST: half a chunk is no chunk, and the upload goes on where it was."""
    place = team.begin(name)
    head = (
        f"PATCH {place} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {hosting.token}\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", hosting.port), 10) as client:
        client.sendall(head.encode() + b"half")
        client.shutdown(socket.SHUT_WR)
        assert b"400" in client.recv(4096).split(b"\r\n")[0]
    assert team.go(place).headers["Range"] == "0-0"
    data = body()
    eventually(lambda: team.go(place, "PATCH", data).status == 202, "it goes on")
    assert team.go(f"{place}?digest={digest(data)}", "PUT").status == 201
