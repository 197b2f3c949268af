"""What Prometheus's own tool says of our metrics."""

import pytest

from busy_metrics import busy
from prometheus import FETCHING_S, need_prometheus

pytestmark = pytest.mark.timeout(FETCHING_S)


def test_promtool_finds_nothing_to_say_about_the_metrics() -> None:
    body, _ = busy().render("")
    said = need_prometheus().check("check", "metrics", text=body.decode())
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
