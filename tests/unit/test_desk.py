"""Where made documents are written: what is counted, and that a killed writer leaves nothing."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from app.desk import GATHERED, LONG, written
from app.fills import spool
from app.fills.fill import TAIL, Fill
from app.resource import HERE, Made

WRITER = """
import sys, time
from pathlib import Path
from app.desk import written
with written(Path(sys.argv[1]), "virtual@0/index", 7) as desk:
    desk.write(b"half")
    desk.page.flush()
    desk.beside("part", "text/plain").write(b"x")
    print("begun", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        spool.reap(tmp_path)
        assert len(list(tmp_path.iterdir())) == 2, "what is being written is nobody's to remove"
        writer.kill()
    spool.reap(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_counted(tmp_path: Path) -> None:
    mark = HERE.encode()
    with written(tmp_path, "a", 1) as desk:
        for piece in (b"x" * (GATHERED - 1), mark[:1], mark[1:2], mark[2:], mark * 3, b"", mark[:2], mark):
            desk.write(piece)
        desk.page.flush()
        text = desk.page.spool.path.read_bytes()
        assert desk.page.heres == text.count(mark) == 5
        assert desk.page.digest.hexdigest() == hashlib.sha256(text).hexdigest()
        assert desk.page.spool.size == len(text)
    assert list(tmp_path.iterdir()) == []


def test_what_is_shown_is_given_where_it_is_long(tmp_path: Path) -> None:
    """As it grows, but for its end, and all of it before it is stored; what is short, or not shown, to nobody."""
    for shown, size, given in ((True, LONG, True), (True, LONG // 2, False), (False, LONG, False)):
        fill = Fill("a")
        with written(tmp_path, "a", 1) as desk:
            desk.given(fill)
            if shown:
                desk.show(Made("text/plain", "X-Kept: 1"))
            desk.write(b"x" * size)
            told = fill.head and (fill.head.content_type, fill.head.length, fill.head.kept)
            assert (told, fill.available) == (
                (("text/plain", None, "X-Kept: 1"), size - TAIL) if given else (None, 0)
            )
            desk.write(b"y")
            desk.ended(fill)
            assert (fill.complete, fill.available) == (given, size + 1 if given else 0)
    assert list(tmp_path.iterdir()) == []
