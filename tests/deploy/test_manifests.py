"""The overlays of k8s/ match their schemas, allow exactly the needed connections, and are built like kustomize does."""

import re
from pathlib import Path

import pytest
import yaml

from tests.deploy.changes import container, the
from tests.deploy.flows import flows
from tests.deploy.k8s_validate import main
from tests.deploy.kustomize import Unsupported, build
from tests.deploy.manifests import OVERLAYS, name_of, objects, problems
from tests.house.tree import ROOT


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_matches_its_schema(overlay):
    assert [problem for each in objects(overlay) for problem in problems(each)] == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_two_objects_have_one_name(overlay):
    names = [name_of(each) for each in objects(overlay)]
    assert sorted(names) == sorted(set(names))


MISSPELT = {
    "Deployment": lambda o: container(o, "gateway")["securityContext"].update(readOnlyRootFileSystem=True),
    "StatefulSet": lambda o: the(o, "StatefulSet", "registry")["spec"].update(replica=2),
    "NetworkPolicy": lambda o: the(o, "NetworkPolicy", "names")["spec"].update(policyType=["Egress"]),
    "Kafka": lambda o: the(o, "Kafka", "headgate")["spec"]["kafka"]["listeners"][0].update(tls="yes"),
    "KafkaNodePool": lambda o: the(o, "KafkaNodePool", "node")["spec"].update(roles=["zookeeper"]),
    "KafkaTopic": lambda o: the(o, "KafkaTopic", "headgate.inbox")["spec"].update(partition=12),
    "KafkaUser": lambda o: the(o, "KafkaUser", "gateway")["spec"]["authorization"]["acls"][0].update(operation="Read"),
    "ServiceMonitor": lambda o: the(o, "ServiceMonitor", "headgate")["spec"]["endpoints"][0].update(interval="15"),
    "PrometheusRule": lambda o: the(o, "PrometheusRule", "headgate")["spec"]["groups"][0]["rules"][0].pop("expr"),
    "ScaledObject": lambda o: the(o, "ScaledObject", "trainer")["spec"].update(maxReplicas=3),
}


@pytest.mark.parametrize("kind", MISSPELT)
def test_a_misspelt_field_is_caught(kind):
    changed = objects("prod")
    MISSPELT[kind](changed)
    assert [p for each in changed if each["kind"] == kind for p in problems(each)] != []


def test_a_kind_without_a_schema_is_caught():
    unknown = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "thing"}}
    assert list(problems(unknown)) == ["Thing/thing: no schema of Thing in example.org/v1 is known"]


BASE = {
    "all -> kube-dns of metadata.name=kube-system:53",
    "gateway <- all of callers=true:grpc",
    "gateway <- all of callers=true:rest",
    *(f"{name} <- all of operators=true:grpc" for name in ("registry", "trainer", "evaluator", "deployer", "portal")),
    "portal <- all of operators=true:console",
    *(f"portal -> {name}:grpc" for name in ("registry", "trainer", "evaluator", "deployer")),
    *(f"{name} <- portal:grpc" for name in ("registry", "trainer", "evaluator", "deployer")),
    *(
        f"trainer -> 0.0.0.0/0 except 10.0.0.0/8,100.64.0.0/10,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16:{port}"
        for port in (443, 22)
    ),
}
REDIS = {"registry -> redis:6379", "redis <- registry:6379"}
SERVICES = ("registry", "trainer", "evaluator", "deployer", "gateway", "portal")
STRIMZI = {
    *(f"{name} -> broker-role=true,cluster=headgate:9093" for name in SERVICES),
    *(f"cluster=headgate -> cluster=headgate:{port}" for port in (9090, 9091)),
    *(f"headgate-entity-operator -> anywhere:{port}" for port in (443, 6443)),
}
BUCKET = {f"{name} -> 0.0.0.0/0 except 169.254.0.0/16:443" for name in ("registry", "trainer", "evaluator", "gateway")}
OWN_KAFKA = {f"{name} -> anywhere:9092-9098" for name in (*SERVICES, "topics")}
MONITORING = {"part-of=headgate <- all of metadata.name=monitoring:metrics"}

WAYS = {
    "dev": BASE | REDIS | STRIMZI,
    "prod": BASE | REDIS | STRIMZI | BUCKET | MONITORING,
    "own-kafka": BASE | REDIS | BUCKET | OWN_KAFKA,
}
"""Every allowed connection. Add new ones here."""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_exactly_the_needed_connections_are_allowed(overlay):
    assert flows(objects(overlay)) == WAYS[overlay]


def test_the_validator_prints_what_it_has_checked(capsys):
    assert main() == 0
    assert "prod: " in capsys.readouterr().out


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "pod.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: b}}")

    def kustomization(**fields: object) -> Path:
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["pod.yaml"], **fields}))
        return tmp_path

    return kustomization


@pytest.mark.parametrize(
    "fields",
    [
        {"namePrefix": "a-"},
        {"labels": [{"pairs": {"a": "b"}, "includeSelectors": True}]},
        {"configMapGenerator": [{"name": "two", "literals": ["a=b"]}]},
        {"patches": [{"target": {"kind": "ConfigMap"}, "patch": "data: {a: c}"}]},
        {"patches": [{"target": {"kind": "Secret"}, "patch": "[{op: remove, path: /data/a}]"}]},
        {"patches": [{"target": {"kind": "ConfigMap"}, "patch": "[{op: move, path: /data/a, from: /data/b}]"}]},
    ],
)
def test_a_feature_that_the_builder_does_not_have_is_refused(folder, fields):
    with pytest.raises(Unsupported):
        build(folder(**fields))


def test_a_patch_adds_replaces_and_removes(folder):
    operations = [
        {"op": "add", "path": "/data/c", "value": "d"},
        {"op": "replace", "path": "/data/a", "value": "e"},
        {"op": "add", "path": "/data/f~1g", "value": "h"},
        {"op": "remove", "path": "/data/c"},
    ]
    patch = yaml.safe_dump(operations)
    (built,) = build(folder(patches=[{"target": {"kind": "ConfigMap", "name": "o.e"}, "patch": patch}], namespace="n"))
    assert built["data"] == {"a": "e", "f/g": "h"}
    assert built["metadata"]["namespace"] == "n"


def test_the_namespace_is_made_by_apply_so_that_no_later_apply_warns_of_it():
    page = (ROOT / "k8s/README.md").read_text()
    (file,) = re.findall(r"kubectl apply -f (\S*namespace\S*)", page)
    (namespace,) = (each for each in objects("prod") if each["kind"] == "Namespace")
    assert yaml.safe_load((ROOT / file).read_text())["metadata"]["name"] == namespace["metadata"]["name"]
    assert "kubectl create namespace" not in page
