"""Downloads of this fleet's other nodes: how one is asked for, and who may ask.

    GET <NODE_URL>/api/v1/fills
        X-Fill: <base64url of the fill's name>
        Authorization: Fill <hex HMAC-SHA256 of the name under the token of the lock that the fill holds>
    200 X-Fill-Head: <base64url of the Head as JSON>, then the body as it may be read; cut where it breaks
    404 no such download runs, or none that has a body

A lock's token is known to who holds it and to who can read the fleet's Redis, and ends with the download.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from urllib3._collections import HTTPHeaderDict
from urllib3.util import parse_url

from app.resource import UpstreamOptions
from app.stores.memory import Holder
from app.upstream.dial import Dialler
from app.upstream.download import Download
from app.upstream.hops import Hop, follow

PATH = "/api/v1/fills"
SLACK = 10.0  # seconds
FIRST_BYTE = 10.0  # seconds; then this node asks upstream itself


class Peers:
    """The way to the other nodes; `address` is this node's own NODE_URL. Nothing connects before `open`."""

    def __init__(self, address: str = "") -> None:
        self.address = address
        self._diallers: dict[float, Dialler] = {}

    def open(self, holder: Holder, name: str, stall: float) -> Download | None:
        """The download of that name at the node that holds its lock; None where it has none to read.

        `stall` are the seconds that upstream may be silent for within a body: that node bears so much, and this
        one a little more. Raises UpstreamError where that node cannot be asked.
        """
        if not holder.address or holder.address == self.address:
            return None
        url = parse_url(holder.address + PATH)
        headers = HTTPHeaderDict({"Accept-Encoding": "identity"})
        headers["X-Fill"] = packed(name.encode("utf-8", "surrogatepass"))
        headers["Authorization"] = f"Fill {proof(holder.token, name)}"
        dialler = self._dialler(stall + SLACK)
        release = dialler.reserve(url.netloc or "")
        try:
            response, final = follow(dialler, Hop(url.url, url, "GET", headers))
            download = Download(response, final.url, None, release)
        except BaseException:
            release()
            raise
        if download.status == 200:
            return download
        download.close()
        return None

    def _dialler(self, stall: float) -> Dialler:
        if stall not in self._diallers:  # one a value in remotes.json; two at once do no harm
            limits = UpstreamOptions(
                connect_timeout=2.0, first_byte_timeout=FIRST_BYTE, stall_timeout=stall, max_connections=256
            )
            self._diallers[stall] = Dialler(limits)
        return self._diallers[stall]


def proof(token: str, name: str) -> str:
    """What shows that a node may follow the download `name`."""
    return hmac.new(token.encode(), name.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def proven(token: str, name: str, authorization: str) -> bool:
    """Whether an Authorization header shows it; never without a lock."""
    return bool(token) and hmac.compare_digest(f"Fill {proof(token, name)}".encode(), authorization.encode())


def packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii")


def unpacked(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
