"""What a hit is measured against: the least that a Flask view can do and still be watched; served by gunicorn.

One GET to Redis, one counter, one JSON line, and a file's bytes. BARE_REDIS and BARE_FILE say which.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

import redis
from flask import Flask, Response
from prometheus_client import Counter

KEY = "bare"

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
log = logging.getLogger(__name__)
client = redis.Redis.from_url(os.environ["BARE_REDIS"])
file = Path(os.environ["BARE_FILE"])
requests = Counter("bare_requests", "Finished requests.", ["status"])
application = Flask(__name__, static_folder=None)


@application.get("/<path:path>")
def hit(path: str) -> Response:
    begun = time.time()
    client.get(KEY)
    response = Response(file.read_bytes(), content_type="application/octet-stream")
    requests.labels("200").inc()
    log.info(json.dumps({"time": begun, "path": path, "status": 200, "duration_ms": (time.time() - begun) * 1000}))
    return response
