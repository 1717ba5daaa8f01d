"""Where things lie: modes, the long DATA_DIR, and what somebody else prepared for us."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import from_environment
from app.layout import Layout
from app.problems import ConfigError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def distant(tmp_path: Path) -> Iterator[Layout]:
    """A layout whose DATA_DIR is too long for a socket."""
    layout = Layout(tmp_path / ("d" * 100))
    yield layout
    if layout.sockets.is_symlink():
        layout.sockets.unlink()
    shutil.rmtree(layout.sockets, ignore_errors=True)


def test_every_directory_is_made_with_its_mode(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a b" / "var")
    layout.prepare()
    layout.prepare()
    assert {mode(each) for each in (layout.data_dir, layout.blobs)} == {0o711}  # a web server passes through
    assert mode(layout.spool) == 0o750
    own = (layout.postgres, layout.valkey, layout.run, layout.secrets)
    assert {mode(each) for each in own} == {0o700}


def test_an_operators_own_mode_is_kept(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.blobs.mkdir()
    layout.blobs.chmod(0o2750)
    layout.prepare()
    assert mode(layout.blobs) == 0o2750


def test_blobs_and_spool_move_together(tmp_path: Path) -> None:
    layout = from_environment({"DATA_DIR": "/d", "STORAGE_URL": f"file://{tmp_path}/my%20blobs"}).layout
    assert (layout.blobs, layout.spool) == (tmp_path / "my blobs", tmp_path / "my blobs" / "spool")
    assert layout.run == Path("/d/run")


@pytest.mark.parametrize("length", [1, 60, 84, 85, 86, 87, 200])
def test_a_socket_path_always_fits(length: int) -> None:
    layout = Layout(Path("/") / ("d" * length))
    assert len(os.fsencode(layout.socket("s" * 16))) <= 107
    assert (layout.sockets == layout.run) is (length <= 85)


def test_two_long_directories_do_not_share_sockets() -> None:
    assert Layout(Path("/") / ("d" * 100)).sockets != Layout(Path("/") / ("e" * 100)).sockets


def test_a_long_socket_name_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer than 16"):
        Layout(tmp_path).socket("s" * 17)


def test_sockets_outside_data_dir_are_private(distant: Layout) -> None:
    distant.prepare()
    assert distant.sockets != distant.run
    assert mode(distant.sockets) == 0o700


def test_a_directory_that_others_can_enter_is_refused(distant: Layout) -> None:
    distant.sockets.mkdir(mode=0o755)
    distant.sockets.chmod(0o755)
    with pytest.raises(ConfigError, match="only this user can enter"):
        distant.prepare()


def test_a_planted_link_is_refused(distant: Layout, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir(mode=0o700)
    distant.sockets.symlink_to(tmp_path / "trap")
    with pytest.raises(ConfigError, match="only this user can enter"):
        distant.prepare()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_foreign_directory_is_refused(distant: Layout) -> None:
    distant.sockets.mkdir(mode=0o700)
    os.chown(distant.sockets, 12345, 12345)
    with pytest.raises(ConfigError, match="only this user can enter"):
        distant.prepare()


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(ConfigError) as caught:
        Layout(tmp_path / "var").prepare()
    assert str(caught.value) == f"DATA_DIR: {tmp_path / 'var'}: File exists"
