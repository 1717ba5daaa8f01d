"""Uploads under way in PostgreSQL.

uploads  id -> repository, area, size, touched        its row is locked by whoever adds a piece: one at a time
pieces   (upload, start) -> size, digest              blobs, kept from garbage collection (statements.REFERENCED)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.stores import statements
from app.stores.connections import Connections
from app.stores.statements import number
from app.stores.uploads import Piece

PATIENCE = 15.0  # seconds for a statement; a piece may wait for the removal of the same bytes

_BEGIN = "INSERT INTO uploads (id, repository, area, touched) VALUES (%s, %s, %s, %s)"
_PIECES = """
    SELECT start, pieces.size, digest FROM uploads LEFT JOIN pieces ON upload = id
    WHERE id = %s AND repository = %s AND area = %s ORDER BY start
    """
_GROW = "UPDATE uploads SET size = size + %s, touched = %s WHERE id = %s AND size = %s"
_APPEND = "INSERT INTO pieces (upload, start, size, digest) VALUES (%s, %s, %s, %s)"
_END = "DELETE FROM uploads WHERE id = %s"
_EXPIRE = "DELETE FROM uploads WHERE touched < %s"


class PostgresUploads:
    """What is under way in one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def begin(self, upload: str, repository: str, area: str, now: float) -> None:
        """See Uploads.begin."""
        with self._connections.lend() as connection:
            connection.execute(_BEGIN, [upload, repository, area, now])

    def pieces(self, upload: str, repository: str, area: str) -> Sequence[Piece] | None:
        """See Uploads.pieces; asked where it is written, for a standby may be behind."""
        with self._connections.lend() as connection:
            found = connection.execute(_PIECES, [upload, repository, area]).fetchall()
        return [Piece(*row) for row in found if row[0] is not None] if found else None

    def append(self, upload: str, piece: Piece, now: float, present: Callable[[str], bool]) -> bool:
        """See Uploads.append."""
        with self._connections.lend(PATIENCE) as connection, connection.transaction() as transaction:
            connection.execute(statements.LOCK_SHARED, [[number("blob", piece.digest)]])
            grown = connection.execute(_GROW, [piece.size, now, upload, piece.start]).rowcount == 1
            if grown and present(piece.digest):
                connection.execute(_APPEND, [upload, piece.start, piece.size, piece.digest])
                return True
            transaction.force_rollback = True
        return False

    def end(self, upload: str) -> bool:
        """See Uploads.end."""
        with self._connections.lend(PATIENCE) as connection:
            return connection.execute(_END, [upload]).rowcount == 1

    def expire(self, before: float) -> int:
        """See Uploads.expire."""
        with self._connections.lend(PATIENCE) as connection:
            return connection.execute(_EXPIRE, [before]).rowcount
