"""What compose.yaml gives Prometheus and Grafana to read."""

import pytest
import yaml

from deployment import DEPLOY, compose
from prometheus import FETCHING_S, need_prometheus

pytestmark = pytest.mark.timeout(FETCHING_S)


def test_promtool_finds_nothing_wrong_with_the_configuration_and_its_rules() -> None:
    said = need_prometheus().check("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert said.returncode == 0, said.stderr
    assert "2 rule files found" in said.stdout


def test_every_kind_of_process_is_scraped_where_it_listens() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    looked_up = {name: it["port"] for it in job["dns_sd_configs"] for name in it["names"]}
    assert looked_up == {"api": 8080, "scheduler": 9464, "worker": 9464}
    for name in looked_up:
        assert "metrics" in compose()["services"][name]["networks"]


def test_grafana_is_given_the_dashboard_and_the_prometheus_of_the_same_file() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text(encoding="utf-8"))[
        "datasources"
    ]
    (dashboards,) = yaml.safe_load((provisioning / "dashboards" / "tokenkeep.yaml").read_text(encoding="utf-8"))[
        "providers"
    ]
    mounted = dict(volume.split(":")[:2] for volume in compose()["services"]["grafana"]["volumes"])
    assert source["url"] == "http://prometheus:9090"
    assert mounted["./deploy/grafana/tokenkeep.json"].startswith(f"{dashboards['options']['path']}/")
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
