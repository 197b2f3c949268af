"""The Helm chart, rendered by Helm, and what comes of it by the schemas of Kubernetes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment import CHART, DEPLOY, EVERYTHING, PROCESSES, REQUIRED, need_checker, one, pod, rendered, workload

VERSIONS = ("1.29", "1.37")
FOREIGN = {"ScaledObject", "PodMonitor", "PrometheusRule"}
"""Kinds of others, whose schemas are not among those of Kubernetes."""
ALL = ("migrate", *PROCESSES)


def test_helm_finds_nothing_to_say() -> None:
    need_checker("helm_python")
    import helm_python  # noqa: PLC0415 - not on every machine

    for values in (REQUIRED, EVERYTHING):
        found = helm_python.lint(CHART, values, strict=True)
        assert found["errors"] == []
        assert [it["error"] for it in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", [REQUIRED, EVERYTHING], ids=["least", "everything"])
def test_every_manifest_is_what_kubernetes_says(values: dict[str, Any], version: str) -> None:
    need_checker("kubernetes_validate")
    import kubernetes_validate  # noqa: PLC0415 - not on every machine

    manifests = rendered(values)
    known = [it for it in manifests if it["kind"] not in FOREIGN]
    for manifest in known:
        kubernetes_validate.validate(manifest, version, strict=True)
    assert {"Deployment", "StatefulSet", "Job", "PodDisruptionBudget", "NetworkPolicy"} <= {it["kind"] for it in known}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "/settings/PUBLIC_URL"),
        ({**REQUIRED, "settings": {"PUBLIC_URL": "http://tokenkeep.example.com"}}, "/settings/PUBLIC_URL"),
        ({**REQUIRED, "settings": {**REQUIRED["settings"], "ADMIN_KEY": "tk_hush"}}, "ADMIN_KEY"),
        ({**REQUIRED, "settings": {**REQUIRED["settings"], "API_PORT": 8081}}, "API_PORT"),
        ({**REQUIRED, "worker": {"terminationGracePeriodSeconds": 30}}, "terminationGracePeriodSeconds"),
        ({**REQUIRED, "wroker": {}}, "wroker"),
        ({**REQUIRED, "secrets": {}}, "secrets.databaseUrl.name: must be set, or secrets.existingSecret"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], told: str) -> None:
    with pytest.raises(Exception, match=told) as raised:
        rendered(values)
    assert type(raised.value).__name__ in {"HelmValuesError", "HelmRenderError"}
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("component", ALL)
def test_every_pod_keeps_to_the_restricted_standard_with_a_root_that_nobody_writes_to(component: str) -> None:
    it = pod(rendered(EVERYTHING), component)
    (container,) = it["containers"]
    assert it["securityContext"]["runAsNonRoot"] is True
    assert it["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert it["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["args"] == [component]
    assert container["image"].endswith(EVERYTHING["image"]["digest"])
    assert "memory" in container["resources"]["limits"]
    assert {mount["name"] for mount in container["volumeMounts"]} >= {"secrets", "tmp"}


@pytest.mark.parametrize("component", PROCESSES)
def test_an_outage_of_the_database_ends_no_process(component: str) -> None:
    (container,) = pod(rendered(REQUIRED), component)["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == ({"http": 8080} if component == "api" else {"metrics": 9464})


def files_of(component: str, values: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The secrets that a process finds: by file, the Secret and its key."""
    (volume,) = [it for it in pod(rendered(values), component)["volumes"] if it["name"] == "secrets"]
    assert volume["projected"]["defaultMode"] == 0o440
    sources = [it["secret"] for it in volume["projected"]["sources"]]
    return {item["path"]: (it["name"], item["key"]) for it in sources for item in it["items"]}


def test_each_process_is_given_those_secrets_that_it_needs() -> None:
    stores = {"tokenkeep_database_url", "tokenkeep_redis_url"}
    vault = {"tokenkeep_vault_token", "tokenkeep_vault_role_id", "tokenkeep_vault_secret_id"}
    assert files_of("migrate", REQUIRED).keys() == {"tokenkeep_database_url"}
    assert files_of("scheduler", REQUIRED).keys() == stores
    assert files_of("worker", REQUIRED).keys() == stores | vault | {"tokenkeep_keyring"}
    assert files_of("api", REQUIRED).keys() == stores | vault | {"tokenkeep_keyring", "tokenkeep_admin_key"}


def test_a_secret_of_somebody_else_s_making_is_named_with_its_key() -> None:
    values = {**REQUIRED, "secrets": {"existingSecret": "tokenkeep", "databaseUrl": {"name": "pg-app", "key": "uri"}}}
    files = files_of("worker", values)
    assert files["tokenkeep_database_url"] == ("pg-app", "uri")
    assert files["tokenkeep_redis_url"] == ("tokenkeep", "tokenkeep_redis_url")


def test_a_setting_is_written_as_the_process_reads_it() -> None:
    said = {"STREAM_MAX_ENTRIES": 1_000_000, "TICK_INTERVAL_S": 0.5, "CUSTODY_HOLD": True, "LOG_LEVEL": "debug"}
    (container,) = pod(rendered({**REQUIRED, "settings": {**REQUIRED["settings"], **said}}), "worker")["containers"]
    variables = {it["name"].removeprefix("TOKENKEEP_"): it["value"] for it in container["env"]}
    assert variables["STREAM_MAX_ENTRIES"] == "1000000"
    assert variables["TICK_INTERVAL_S"] == "0.5"
    assert variables["CUSTODY_HOLD"] == "true"
    assert variables["LOG_LEVEL"] == "debug"


def test_the_chart_makes_no_secret() -> None:
    assert "Secret" not in {it["kind"] for it in rendered(EVERYTHING)}


def test_the_database_is_brought_up_to_date_before_anything_new_runs() -> None:
    manifests = rendered(REQUIRED)
    annotations = workload(manifests, "migrate")["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
    policy = one(manifests, "NetworkPolicy", "migrate")["metadata"]["annotations"]
    assert policy["helm.sh/hook"] == annotations["helm.sh/hook"]
    assert int(policy["helm.sh/hook-weight"]) < int(annotations["helm.sh/hook-weight"])
    # What is no hook is not there yet on a first install.
    assert pod(manifests, "migrate")["serviceAccountName"] == "default"
    assert not [it for it in pod(manifests, "migrate")["volumes"] if "configMap" in it]


def test_a_spool_comes_back_with_its_worker_and_is_never_deleted_with_it() -> None:
    it = workload(rendered(REQUIRED), "worker")["spec"]
    assert it["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Retain", "whenDeleted": "Retain"}
    assert [claim["metadata"]["name"] for claim in it["volumeClaimTemplates"]] == ["spool"]
    shared = {**REQUIRED, "worker": {"spool": {"existingClaim": "spools"}}}
    it = workload(rendered(shared), "worker")["spec"]
    assert "volumeClaimTemplates" not in it
    assert {"name": "spool", "persistentVolumeClaim": {"claimName": "spools"}} in it["template"]["spec"]["volumes"]


def test_workers_are_scaled_by_what_is_owed_and_nobody_is_sent_home_while_nobody_counts() -> None:
    manifests = rendered(EVERYTHING)
    it = one(manifests, "ScaledObject", "worker")["spec"]
    (trigger,) = it["triggers"]
    assert trigger["metadata"]["query"] == 'max(tokenkeep_accounts_due{cell="eu-1"})'
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert it["scaleTargetRef"]["name"] == workload(manifests, "worker")["metadata"]["name"]
    assert "replicas" not in workload(manifests, "worker")["spec"]
    assert workload(rendered(REQUIRED), "worker")["spec"]["replicas"] == 2


@pytest.mark.parametrize("component", PROCESSES)
def test_budgets_and_policies_select_the_pods_of_their_process(component: str) -> None:
    manifests = rendered(REQUIRED)
    labels = workload(manifests, component)["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one(manifests, "PodDisruptionBudget", component)["spec"]["selector"]["matchLabels"],
        one(manifests, "NetworkPolicy", component)["spec"]["podSelector"]["matchLabels"],
        *[it["labelSelector"]["matchLabels"] for it in pod(manifests, component)["topologySpreadConstraints"]],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)


def test_only_who_speaks_to_providers_is_let_out_and_never_to_the_metadata_of_a_cloud() -> None:
    manifests = rendered(REQUIRED)
    blocks = {
        component: [
            peer["ipBlock"]
            for rule in one(manifests, "NetworkPolicy", component)["spec"]["egress"]
            for peer in rule.get("to", [])
            if "ipBlock" in peer
        ]
        for component in ALL
    }
    assert blocks["migrate"] == blocks["scheduler"] == []
    for component in ("api", "worker"):
        (block,) = blocks[component]
        assert "169.254.0.0/16" in block["except"]


def test_an_ingress_leads_neither_to_metrics_nor_to_probes() -> None:
    (rule,) = one(rendered(EVERYTHING), "Ingress", "api")["spec"]["rules"]
    paths = {it["path"] for it in rule["http"]["paths"]}
    assert {"/v1", "/connect", "/console"} <= paths
    assert not paths & {"/", "/metrics", "/healthz", "/readyz"}


def test_rules_and_dashboard_are_those_of_this_repository() -> None:
    manifests = rendered(EVERYTHING)
    groups = [
        group
        for name in ("recording.rules.yml", "alert.rules.yml")
        for group in yaml.safe_load((DEPLOY / "prometheus" / name).read_text(encoding="utf-8"))["groups"]
    ]
    assert one(manifests, "PrometheusRule", "monitoring")["spec"]["groups"] == groups
    dashboard = one(manifests, "ConfigMap", "monitoring")["data"]["tokenkeep.json"]
    assert json.loads(dashboard) == json.loads((DEPLOY / "grafana" / "tokenkeep.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("left", ["", "../../somewhere"], ids=["missing", "a text"])
@pytest.mark.parametrize("name", ["recording.rules.yml", "alert.rules.yml", "dashboard.json"])
def test_a_link_that_was_lost_on_the_way_is_told_instead_of_rules_that_are_empty(
    tmp_path: Path, name: str, left: str
) -> None:
    chart = shutil.copytree(CHART, tmp_path / "tokenkeep")
    (chart / name).unlink()
    if left:
        (chart / name).write_text(left)

    with pytest.raises(Exception, match=f"{name} is not in the chart: symbolic links were lost"):
        rendered(EVERYTHING, chart)
