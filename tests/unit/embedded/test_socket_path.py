import os
import stat
from pathlib import Path

from tokenkeep.adapters.embedded.socket_path import LONGEST_SOCKET_PATH, socket_directory


def test_a_socket_lies_beside_its_data_where_the_path_is_short(short_dir: Path) -> None:
    assert socket_directory(short_dir, "a.sock", owner=os.geteuid()) == short_dir


def test_a_deep_data_directory_gets_a_short_private_one_that_is_always_the_same(short_dir: Path) -> None:
    deep = short_dir / ("deep" * 30)

    first = socket_directory(deep, "a.sock", owner=os.geteuid())
    try:
        assert len(os.fsencode(first / "a.sock")) <= LONGEST_SOCKET_PATH
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        assert socket_directory(deep, "a.sock", owner=os.geteuid()) == first
        assert socket_directory(deep / "other", "a.sock", owner=os.geteuid()) != first
    finally:
        first.rmdir()
        socket_directory(deep / "other", "a.sock", owner=os.geteuid()).rmdir()
