"""The fills process's loop: takes requests that workers handed over, and writes their responses."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from app.cache import Arriving, Engine, Outcome
from app.errors import DEFECT, ArtifactError, NotFound, StoreDown
from app.fills.fill import TAIL, Stage
from app.formats import FORMATS
from app.repositories import Repositories
from app.repositories.directory import Directory
from app.resource import Ask, Entry, Resource
from app.shelf import Served
from app.stores.blobs import Afar
from app.web import peers, problem, wire
from app.web.finish import Finish
from app.web.handover import Handed, Posted, receive
from app.web.reply import answer
from app.web.uploads import Uploads
from app.web.usage import Artifact

log = logging.getLogger(__name__)

MOMENT = 1.0  # seconds for the first bytes that may be sent, before the head is: an error reads better than a cut
LOOK_UP = 0.25  # seconds between two looks at whether to stop
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
CLIENT_GONE = 499  # what nginx logs for a client that left


class Carrier:
    """One thread a request: they sleep in sendfile or wait for bytes."""

    def __init__(self, engine: Engine, repositories: Directory, finish: Finish, uploads: Uploads) -> None:
        self.engine = engine
        self.repositories = repositories
        self.finish = finish
        self.uploads = uploads
        self._busy = 0
        self._idle = threading.Condition()

    def reload(self, repositories: Repositories) -> None:
        """New requests see the new configuration; running ones end under the old."""
        self.repositories.filed = repositories
        self.engine.visits.fetch.upstreams.keep(repositories.remotes.values())

    def serve(self, listener: socket.socket, stopping: threading.Event) -> None:
        """Until `stopping` is set. The listener is never shut down: it is the supervisor's, and requests wait in
        it for this process's successor."""
        listener.settimeout(LOOK_UP)
        while not stopping.is_set():
            try:
                link, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                log.error("requests wait: %s", error.strerror)  # until one that runs gives back what is missing
                stopping.wait(LOOK_UP)
                continue
            with self._idle:
                self._busy += 1
            self._start(link)

    def _start(self, link: socket.socket) -> None:
        """A thread for one request; where there is none to be had, the next requests wait for it too."""
        while True:
            try:
                return threading.Thread(target=self._take, args=(link,), name="carry", daemon=True).start()
            except RuntimeError as error:
                log.error("requests wait: %s", error)
                time.sleep(LOOK_UP)

    def drain(self, seconds: float) -> bool:
        """Wait until every response and fill has ended; False if some have not by then."""
        with self._idle:
            done = self._idle.wait_for(lambda: not self._busy, seconds)
        return self.engine.flights.drain(seconds) and done

    def _take(self, link: socket.socket) -> None:
        try:
            with link:
                link.settimeout(5.0)
                handed, conn = receive(link)
            if isinstance(handed, Posted):
                self.uploads.carry(handed, conn)
            else:
                self._carry(handed, conn)
        except (OSError, ValueError) as error:
            log.error("a handed request is lost: %s", error)
        except Exception:
            log.exception("a handed request ended by a defect")
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def _carry(self, handed: Handed, conn: socket.socket) -> None:
        ask, delivery = handed.ask, wire.Delivery()
        told = _Told()
        try:
            wire.prepare(conn)
            self._respond(handed, conn, delivery, told)
            wire.close(conn)
        except OSError as error:
            told.note = told.note or f"client left: {error}"
            told.status = told.status if delivery.head else CLIENT_GONE
            wire.cut(conn)
        except ArtifactError as error:
            told.note = f"cut: {error.message}"
            wire.cut(conn)
        except Exception:
            log.exception("%s %s", ask.method, ask.url_path)
            told.note = "cut: a defect of this server"
            wire.cut(conn)
        said = told.status, told.cache, delivery.sent, told.note, told.artifact
        self.finish(ask, *said, begun=delivery.begun, error=told.error)

    def _respond(self, handed: Handed, conn: socket.socket, delivery: wire.Delivery, told: _Told) -> None:
        """Errors before the head become JSON; later ones rise, for the connection to be cut."""
        ask = handed.ask
        try:
            if ask.route in ("fill", "status"):
                self._tell(conn, ask, delivery, told)
            elif not self._sent(handed, conn, delivery, told):
                self._sent(
                    replace(handed, ask=replace(ask, member=""), entry=None, blob=-1), conn, delivery, told, last=True
                )
        except ArtifactError as error:
            if delivery.head:
                raise
            self._refuse(conn, ask, error, told)
        except Exception:
            if delivery.head:
                raise
            log.exception("%s %s", ask.method, ask.url_path)
            self._refuse(conn, ask, ArtifactError(DEFECT), told)

    def _sent(
        self, handed: Handed, conn: socket.socket, delivery: wire.Delivery, told: _Told, last: bool = False
    ) -> bool:
        """Send the response; False where bytes that were taken to be stored unasked are not: worth one more try."""
        ask = handed.ask
        resource, outcome = self._outcome(handed, self._resource(ask))
        try:
            _settle(ask, outcome)
            reply = answer(ask, resource, outcome)
            told.status, told.cache = reply.status, reply.cache
            told.artifact = Artifact.of(resource)
            wire.deliver(conn, ask, reply, outcome, delivery)
        except StoreDown:
            if delivery.head or last or not isinstance(outcome, Served):
                raise
            return False
        finally:
            if told.artifact is not None:  # known only now of what was arriving
                told.artifact = replace(told.artifact, digest=_digest(outcome))
            if isinstance(outcome, Served):
                outcome.file.close()
        return True

    def _tell(self, conn: socket.socket, ask: Ask, delivery: wire.Delivery, told: _Told) -> None:
        """Another process of this server asks: a node follows a download, or a worker asks how they are."""
        visits, told.status = self.engine.visits, 200
        if ask.route == "status":
            body = peers.status(visits.fetch.upstreams, visits.flights)
            return wire.refuse(conn, ask, 200, (("Content-Type", "application/json"),), body)
        outcome = peers.joined(visits.flights, ask)
        _settle(ask, outcome)
        return wire.deliver(conn, ask, peers.answer(outcome), outcome, delivery)

    def _resource(self, ask: Ask) -> Resource:
        repository = self.repositories.get(ask.repository)
        if repository is None:
            raise NotFound("no such repository", code="unknown_repository")
        if (members := ask.members) is not None:  # which of them this client may read was asked by the worker
            repository = repository.read_by(lambda part: part.name in members)
        resource = FORMATS[repository.package].resolve(repository, ask)
        return next((each for each in resource.among if each.repository.name == ask.member), resource)

    def _outcome(self, handed: Handed, resource: Resource) -> tuple[Resource, Outcome]:
        if handed.entry is not None and handed.blob >= 0:
            return resource, Served(handed.entry, handed.state, os.fdopen(handed.blob, "rb", buffering=0))
        if handed.entry is not None and (served := self._opened(handed.entry, handed.state)) is not None:
            return resource, served
        return self.engine.choose(handed.ask, resource)

    def _opened(self, entry: Entry, state: str) -> Served | None:
        """What a worker has judged already; the engine copes where the bytes are gone or their store is."""
        blobs = self.engine.shelf.blobs
        if isinstance(blobs, Afar):
            return Served(entry, state, cast("BinaryIO", blobs.reopen(entry.digest, entry.size)))
        with contextlib.suppress(StoreDown):
            return self.engine.shelf.take(entry, state)
        return None

    def _refuse(self, conn: socket.socket, ask: Ask, error: ArtifactError, told: _Told) -> None:
        status, headers, body = problem.render(error, ask)
        told.status, told.cache = status, dict(headers).get("X-Cache", "")
        told.note, told.error = error.message, error.code
        wire.refuse(conn, ask, status, headers, body)


@dataclass(slots=True)
class _Told:
    """What the log will say of a request."""

    status: int = 500
    cache: str = ""
    note: str = ""
    error: str = ""
    artifact: Artifact | None = None


def _digest(outcome: Outcome) -> str:
    """The sha256 of the body, "" where it broke off or was none of ours."""
    if isinstance(outcome, Served):
        return outcome.entry.digest
    return outcome.fill.digest if isinstance(outcome, Arriving) else ""


def _settle(ask: Ask, outcome: Outcome) -> None:
    """Where waiting tells more: a small body's verdict, and the end of a body that HTTP/1.0 cannot frame.

    A body that may be small is withheld anyway, and the wait ends with its first byte that is not.
    """
    if not isinstance(outcome, Arriving):
        return
    fill, length = outcome.fill, outcome.head.length
    if length is None and ask.protocol == "HTTP/1.0":
        fill.wait_for(Stage.WHOLE)
    elif length is None or length <= TAIL:
        fill.wait_for_bytes(MOMENT)
    if fill.stage is Stage.FAILED and fill.error is not None:
        raise fill.error
