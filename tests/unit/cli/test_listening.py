import socket

import pytest

from tokenkeep.cli.listening import free_ports
from tokenkeep.domain.errors import SettingsError

HOST = "127.0.0.1"


def test_ports_are_the_next_free_ones_and_leave_out_the_one_that_is_spoken_for() -> None:
    with socket.create_server((HOST, 0)) as taken:
        first = taken.getsockname()[1]
        if first > 65_000:
            pytest.skip("the system gave one of the last ports")
        found = free_ports(HOST, first, 2, but=first + 1)
    assert len(set(found)) == 2
    assert all(port > first + 1 for port in found)


def test_any_will_do_where_none_is_named() -> None:
    assert len(set(free_ports(HOST, 0, 2, but=0))) == 2
    assert free_ports(HOST, 0, 0, but=0) == []


def test_a_host_of_another_machine_is_told_by_the_setting() -> None:
    with pytest.raises(SettingsError, match=r"^TOKENKEEP_METRICS_PORT: 192\.0\.2\.1 can't be listened on"):
        free_ports("192.0.2.1", 9464, 1, but=0)
