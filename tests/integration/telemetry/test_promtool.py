"""What Prometheus's own tool says of our metrics."""

from busy_metrics import busy
from prometheus import need_prometheus


def test_promtool_finds_nothing_to_say_about_the_metrics() -> None:
    body, _ = busy().render("")
    said = need_prometheus().check("check", "metrics", text=body.decode())
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
