"""What ends is started again, what was left behind is stopped, and a new configuration is taken over or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.supervisor import child
from app.supervisor.processes import Command, Process, Recorded, StartError, sweep
from app.supervisor.watched import MOST_CRASHES, Watched
from tests.stack import ROOT, Stack, eventually
from tests.supervisor.conftest import DOCUMENT


def is_healthy(stack: Stack) -> bool:
    try:
        return stack.get("/health")[0] == 200
    except OSError:
        return False


def exists(pid: int) -> bool:
    try:
        return child.stat(pid)[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("name", ["gunicorn", "fills", "postgres", "valkey"])
def test_a_killed_child_is_started_again(stack: Stack, name: str) -> None:
    stack.start()
    before = stack.pids()
    orphans = stack.workers()
    os.kill(before[name], signal.SIGKILL)
    eventually(lambda: stack.pids().get(name, before[name]) != before[name], f"a new {name}")
    eventually(lambda: is_healthy(stack), "healthy again")
    after = stack.pids()
    assert {each for each in before if before[each] != after[each]} == {name}
    assert not any(exists(pid) for pid in orphans) or name != "gunicorn"
    assert f"{name} ended (signal 9" in stack.log()
    assert stack.stop() == 0
    assert stack.running() == []


def test_a_child_that_cannot_run_ends_the_server_with_a_reason(stack: Stack) -> None:
    process = stack.start().process
    assert process is not None
    killed: set[int] = set()

    def ended() -> bool:
        pid = stack.pids().get("fills")
        if pid is not None and pid not in killed and exists(pid):
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        return process.ended() is not None

    eventually(ended, "given up", 60)
    assert process.ended() == 1
    assert "artifactapi: fills ended 6 times within 30 s: giving up" in stack.log()
    assert stack.running() == []


def test_after_a_kill_of_the_supervisor_nothing_is_left_and_the_next_start_works(stack: Stack) -> None:
    stack.start()
    stack.kill()
    eventually(lambda: stack.running() == [], "all children ended with it")
    stack.start()
    assert is_healthy(stack)
    assert stack.stop() == 0


def test_children_that_survive_a_kill_are_cleaned_up_by_the_next_start(stack: Stack) -> None:
    stack.start()
    frozen = stack.running()  # stopped processes hear no polite signal: the hardest orphans there are
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    stack.kill()
    survivors = [pid for pid in frozen if exists(pid)]
    assert len(survivors) >= 6
    stack.start()
    assert not [pid for pid in survivors if exists(pid)]
    assert "stopped what an earlier start left: gunicorn" in stack.log()
    assert is_healthy(stack)
    assert stack.stop() == 0
    assert stack.running() == []


def test_a_good_configuration_is_taken_over(stack: Stack) -> None:
    stack.start()
    changed = {**DOCUMENT, "remotes": {"new": {"base_url": "http://127.0.0.1:9/new"}}}
    before = stack.pids()
    stack.configure(changed)
    stack.reload()
    eventually(lambda: json.loads(stack.get("/")[1])["remotes"] == ["new"], "the new remote")
    assert "the new configuration is in force" in stack.log()
    assert stack.pids() == before
    assert stack.stop() == 0


def test_a_bad_configuration_changes_nothing(stack: Stack) -> None:
    stack.start()
    workers = stack.workers()
    stack.config.write_text("{")
    stack.reload()
    eventually(lambda: "the old configuration stays in force" in stack.log(), "refused")
    assert stack.workers() == workers
    assert json.loads(stack.get("/")[1])["remotes"] == list(DOCUMENT["remotes"])
    os.kill(stack.pids()["gunicorn"], signal.SIGKILL)  # even what starts anew reads the good one
    eventually(lambda: "gunicorn started" in stack.log() and is_healthy(stack), "restarted")
    assert json.loads(stack.get("/")[1])["remotes"] == list(DOCUMENT["remotes"])


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    record = tmp_path / "sleeper.process"
    command = Command("sleeper", ("/bin/sh", "-c", "sleep 1000 & wait"), record, tmp_path, os.environ)
    process = Process.start(command)
    eventually(lambda: record.exists() and len(process.recorded.members()) == 2, "it forked")
    yield process
    process.bury()


def test_a_recycled_pid_is_never_hit(sleeper: Process) -> None:
    record = sleeper.command.record
    boot, pid, started, number = record.read_text().split("\n")
    for wrong in (f"{boot}\n{pid}\n{int(started) - 1}\n{number}", f"other\n{pid}\n{started}\n{number}", "cut"):
        record.write_text(wrong)
        assert sweep([record], 0) == []
        assert sleeper.ended() is None
        assert len(sleeper.recorded.members()) == 2


def test_what_an_ended_leader_forked_is_found(sleeper: Process) -> None:
    os.kill(sleeper.pid, signal.SIGKILL)
    eventually(lambda: sleeper.ended() is not None, "ended")
    assert sweep([sleeper.command.record], 0.1) == ["sleeper"]
    assert sleeper.recorded.members() == []


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    log = tmp_path / "log"
    command = Command("deaf", ("/bin/sh", "-c", script), tmp_path / "r", tmp_path, os.environ, log=log)
    process = Process.start(command)
    eventually(lambda: process.last_words() == "ready", "it listens to nothing")
    process.stop(0.1)
    assert process.ended() == -signal.SIGKILL
    assert process.recorded.members() == []


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path; from app.supervisor.processes import *;"
        "here = Path(sys.argv[1]);"
        "Process.start(Command('c', ('sleep', '1000'), here / 'record', here, os.environ)); time.sleep(1000)"
    )
    command = ("python3", "-c", script, str(tmp_path))
    parent = subprocess.Popen(command, executable=sys.executable)
    eventually((tmp_path / "record").exists, "the child runs")
    recorded = Recorded.read(tmp_path / "record")
    assert recorded is not None
    parent.kill()
    parent.wait()
    eventually(lambda: not exists(recorded.pid), "ended with its parent")


WAIT = """
from app.supervisor.signals import Signals
with Signals() as signals:
    print("waits", flush=True)
    print(signals.wait(0.3))
"""


def test_a_supervisor_that_was_frozen_is_told_no_signal_that_nobody_sent() -> None:
    with subprocess.Popen([sys.executable, "-c", WAIT], stdout=subprocess.PIPE, text=True, cwd=ROOT) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waits\n"
        waiting.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        waiting.send_signal(signal.SIGCONT)
        assert waiting.stdout.read() == "None\n"


def test_rests_between_crashes_and_gives_up() -> None:
    now = [1000.0]

    def spawn() -> Process:
        raise AssertionError("not due")

    watched = Watched("it", spawn, clock=lambda: now[0])
    rests = []
    for _ in range(MOST_CRASHES):
        watched._rest()
        rests.append(watched._due - now[0])
    assert rests == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert watched.start_if_due() is False
    now[0] += 31  # long enough ago to be forgotten
    watched._rest()
    assert watched._due == now[0]
    for _ in range(MOST_CRASHES - 1):
        watched._rest()
    with pytest.raises(StartError, match="it ended 6 times within 30 s: giving up"):
        watched._rest()
