"""`artifactapi run`: starts, watches, reloads and stops all processes of one node.

start:  remotes.json -> lock -> orphans -> port -> postgres, valkey -> migrations -> fills -> listen, gunicorn
watch:  a child ended -> started again; SIGHUP -> a valid remotes.json is taken over; SIGINT, SIGTERM -> stop
stop:   gunicorn (its requests end) -> fills (its downloads end) -> postgres, valkey
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from app import metric_files, repositories
from app.config import Settings
from app.problems import ConfigError
from app.supervisor import claims, commands
from app.supervisor.embedded import GRACE, Postgres, Server, Valkey
from app.supervisor.greeting import greeting
from app.supervisor.migration import Migration, begun
from app.supervisor.probe import why_not_ready
from app.supervisor.processes import POLL, Process, StartError, sweep
from app.supervisor.purging import Purging, changed, definitions, workers
from app.supervisor.signals import Signals, Stopped
from app.supervisor.watched import Watched

STORES_READY = 60.0  # seconds: initdb on a slow disk
DATABASE_READY = 5.0  # seconds for an external database that does not answer, or takes no writes
LONGEST_MIGRATION = 200.0  # seconds: what stores/postgres.py waits for a table in use, and a little
LONGEST_STOP = 35.0  # seconds: gunicorn's graceful_timeout, a fill's last 30 s, and a little
TOLD_AGAIN = 30.0  # seconds between two lines about not being ready

log = logging.getLogger("artifactapi.supervisor")


class Supervisor:
    """One node; `say` shows a line to the operator who started it."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._environ = commands.inherited(environ)
        self._say = say
        self._begun = time.monotonic()
        self._watched: dict[str, Watched] = {}  # in the order of their start
        self._token = ""

    def run(self) -> None:
        """Return when an operator stopped it. StartError or ConfigError: why it cannot run (any longer)."""
        if not Path("/proc/self/stat").exists():
            raise StartError("this needs Linux with /proc mounted")
        repositories.load(self._settings.config_path)
        self._layout.prepare()
        with Signals() as signals, contextlib.ExitStack() as claimed:
            claimed.enter_context(claims.claim_directory(self._layout.run))
            claimed.callback(self._remove_traces)
            claimed.callback(self._stop, signals)  # what is claimed after this is given back before it
            try:
                self._start(signals, claimed)
                self._watch(signals)
            except Stopped as asked:
                log.info("stopping on %s", asked)

    def _start(self, signals: Signals, claimed: contextlib.ExitStack) -> None:
        self._clean_up()
        web = claimed.enter_context(claims.claim_address(self._settings.host, self._settings.port))
        claimed.callback(claims.refuse, web)
        fills = claimed.enter_context(claims.claim_unix_socket(self._layout.socket("fills.sock")))
        self._token = self._settings.admin_token or claims.admin_token(self._layout.admin_token)
        stores = self._start_stores(signals)
        self._await_schema(signals, Migration(lambda: begun(stores.database_url)))
        claims.write_private(self._layout.run / commands.URLS, stores.to_json())
        before = definitions(self._snapshot)  # of the last run
        claims.write_private(self._snapshot, repositories.snapshot(self._settings.config_path))
        self._purging = Purging(stores.redis_url)
        self._purging.begin(changed(before, repositories.load(self._snapshot)))
        environ = {**self._environ, **commands.environment(self._layout, stores, self._token)}
        self._spawn("fills", lambda: Process.start(commands.fills(self._layout, environ, fills.fileno())))
        claims.listen(web)
        self._spawn("gunicorn", lambda: Process.start(commands.gunicorn(self._layout, environ, web.fileno())))

    @property
    def _snapshot(self) -> Path:
        return self._layout.run / commands.SNAPSHOT

    def _remove_traces(self) -> None:
        """Last of all, because a request that is ending may still be handed to the fills process."""
        for left in (self._layout.socket("fills.sock"), self._layout.run / commands.URLS):
            left.unlink(missing_ok=True)
        metric_files.discard(self._layout.metrics)
        if self._layout.sockets != self._layout.run:
            with contextlib.suppress(OSError):
                self._layout.sockets.rmdir()

    def _spawn(self, name: str, spawn: Callable[[], Process]) -> None:
        self._watched[name] = Watched(name, spawn)
        self._watched[name].start()

    def _clean_up(self) -> None:
        """After a kill -9 of an earlier supervisor: its children, and the counters of processes long gone."""
        places = {"gunicorn": "run", "fills": "run", "postgres": "postgres", "valkey": "valkey"}
        records = [self._layout.data_dir / place / f"{name}.process" for name, place in places.items()]
        for stopped in sweep(records, GRACE):
            log.warning("stopped what an earlier start left: %s", stopped)
        metric_files.renew(self._layout.metrics)
        self._layout.prepare()

    def _start_stores(self, signals: Signals) -> commands.Stores:
        """The embedded servers, side by side, where no URL names others."""
        postgres = Postgres(self._layout.postgres, self._layout.sockets)
        valkey = Valkey(self._layout.valkey, self._layout.socket("valkey.sock"))
        embedded: list[Server] = []
        if self._settings.database_url is None:
            embedded.append(postgres)
        if self._settings.redis_url is None:
            embedded.append(valkey)
        for server in embedded:
            self._spawn(server.name, server.spawn)
        deadline = time.monotonic() + STORES_READY
        for server in embedded:
            while not server.ready():
                if time.monotonic() > deadline:
                    raise StartError(f"{server.name} is not ready: {server.process.last_words()}")
                signals.wait(POLL)
        return commands.Stores(self._settings.database_url or postgres.url, self._settings.redis_url or valkey.url)

    def _await_schema(self, signals: Signals, migration: Migration) -> None:
        """An external database may come later: most of what is stored can be served without it."""
        self._migration, embedded = migration, self._settings.database_url is None
        asked = time.monotonic()
        while not migration.done:
            migration.look()
            waited = time.monotonic() - asked
            late = migration.problem and waited > (STORES_READY if embedded else DATABASE_READY)
            if late and embedded:
                raise StartError(f"the database does not take its schema: {migration.problem}")
            if late or waited > LONGEST_MIGRATION:
                log.warning("started without the database: %s", migration.problem or "its tables are in use")
                break
            signals.wait(POLL)

    def _watch(self, signals: Signals) -> None:
        ready, told = False, time.monotonic()
        while True:
            busy = not ready or any(child.down for child in self._watched.values())
            if signals.wait(0.05 if busy else 1.0) == signal.SIGHUP:
                self._reload()
            for child in self._watched.values():
                self._look_after(child)
            self._migration.look()
            metric_files.forget_gauges(self._layout.metrics)
            if not ready:
                ready, told = self._announce(told)

    def _look_after(self, child: Watched) -> None:
        if (reason := child.crashed()) is not None:
            log.error("%s ended (%s) and is started again", child.name, reason)
        if child.start_if_due():
            log.info("%s started", child.name)

    def _announce(self, told: float) -> tuple[bool, float]:
        """Say once that it serves; until then say now and then why it does not."""
        reason = why_not_ready(self._settings.host, self._settings.port)
        if reason is None:
            known = repositories.load(self._snapshot)
            seconds = time.monotonic() - self._begun
            shown = [*known.remotes.values(), *known.locals.values()]
            token = self._token if sys.stdout.isatty() else ""  # anything else keeps what it is told
            for line in greeting(self._settings, shown, token, seconds):
                self._say(line)
            return True, told
        if time.monotonic() - told < TOLD_AGAIN:
            return False, told
        log.warning("not ready: %s", reason)
        return False, time.monotonic()

    def _reload(self) -> None:
        """Take a new remotes.json over if every line of it is right; else keep everything as it is."""
        try:
            after = repositories.load(self._settings.config_path)
            text = repositories.snapshot(self._settings.config_path)
        except ConfigError as error:
            for problem in error.problems:
                log.error("the old configuration stays in force: %s", problem)
            return
        before = definitions(self._snapshot)
        claims.write_private(self._snapshot, text)
        of_before = workers(self._watched["gunicorn"].process)  # whoever is forked from here on reads the new one
        for name in ("fills", "gunicorn"):
            if process := self._watched[name].process:
                process.signal(signal.SIGHUP)
        self._purging.begin(changed(before, after), of_before)
        log.info("the new configuration is in force")

    def _stop(self, signals: Signals) -> None:
        """In the opposite order; a second Ctrl-C hastens what waits for requests and downloads."""
        hurried = False

        def hurry() -> bool:
            nonlocal hurried
            hurried = hurried or signals.hurried()
            return hurried

        for name, child in reversed(self._watched.items()):
            if child.process is None:
                continue
            if name in ("fills", "gunicorn"):
                child.process.stop(LONGEST_STOP, hurry)
            else:
                child.process.stop(GRACE)
