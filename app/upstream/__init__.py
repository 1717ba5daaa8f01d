"""The only outgoing HTTP: what is asked of upstream, how long it may take, and which of its answers to believe.

client    Upstreams.open: base URLs in order, headers, challenges -> Download
hops      redirects
login     what is shown where upstream challenges (challenge reads it, realm judges it, tokens keeps it)
dial      a remote's pools, TLS, proxy and retries; failures get their names
guard     where a redirect may lead
wire      one connection: its clocks, its framing
coding    compressed although nobody asked
download  the body as it arrives
"""

from app.upstream.client import Upstreams
from app.upstream.download import Download
from app.upstream.headers import retry_after

__all__ = ["Download", "Upstreams", "retry_after"]
