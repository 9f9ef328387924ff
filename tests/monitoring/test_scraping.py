"""Every service is scraped, and its series get the labels that all queries group by."""

from typing import Any

import yaml

from headgate.runtime.observability.metric import EVERY
from tests.monitoring.questions import MONITORING

CONFIGURATION: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
MONITOR: dict[str, Any] = yaml.safe_load((MONITORING / "servicemonitor.yaml").read_text())


def test_prometheus_scrapes_every_service_under_its_own_label() -> None:
    (job,) = CONFIGURATION["scrape_configs"]
    assert job["job_name"] == "headgate"
    targets = {group["labels"]["service"]: group["targets"] for group in job["static_configs"]}
    assert targets == {service: [f"{service}:9464"] for service in EVERY}


def test_the_operator_sets_the_same_labels() -> None:
    (endpoint,) = MONITOR["spec"]["endpoints"]
    assert {rule["targetLabel"]: rule.get("replacement", "") for rule in endpoint["relabelings"]} == {
        "job": "headgate",
        "service": "",
    }


def test_grafana_finds_the_data_source_and_the_dashboards_where_they_are_mounted() -> None:
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["jsonData"]["timeInterval"] == CONFIGURATION["global"]["scrape_interval"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "headgate.yaml").read_text())["providers"]
    compose = yaml.safe_load((MONITORING.parents[1] / "docker-compose.yml").read_text())
    mounted = f"./k8s/monitoring/grafana:{provider['options']['path']}:ro"
    assert mounted in compose["services"]["grafana"]["volumes"]
