"""Every overlay of k8s/ follows every rule, and each rule catches the change that it exists for."""

from collections.abc import Callable

import pytest
import yaml

from tests.deploy import cluster_policies as cluster
from tests.deploy import pod_policies as pods
from tests.deploy.changes import container, given, pod, the, variable, without
from tests.deploy.compose_rules import NOBODYS
from tests.deploy.kustomize import Manifest, build
from tests.deploy.manifests import OVERLAYS, objects, problems
from tests.deploy.pod_policies import Objects
from tests.deploy.service_settings import SERVICES
from tests.house.tree import ROOT

K8S = ROOT / "k8s"
USED = {
    (K8S / "overlays" / overlay / name).resolve()
    for overlay in OVERLAYS
    for name in yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())["components"]
}
UNUSED = [path for path in sorted((K8S / "components").iterdir()) if path not in USED]

RULES = (*pods.RULES, *cluster.RULES)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_an_overlay_follows_the_rule(overlay, rule):
    assert list(rule(objects(overlay))) == []


@pytest.mark.parametrize("component", UNUSED)
def test_a_component_that_no_overlay_uses_follows_the_rules_too(component, tmp_path):
    layers = {"resources": [str(K8S / "overlays/own-kafka")], "components": [str(component)], "namespace": "headgate"}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(layers))
    built = build(tmp_path)
    assert built != objects("own-kafka")
    assert [problem for each in built for problem in problems(each)] == []
    assert [problem for rule in RULES for problem in rule(built)] == []


ROOT_USER = {"runAsNonRoot": False, "runAsUser": 0}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password", "namespace": "headgate"}}
OPEN = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 7400}]}]}
ANY_PORT = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": {}}]}]}

Rule = Callable[[Objects], object]

BREAKING: list[tuple[Rule, Callable[[Objects], object]]] = [
    (pods.every_service_is_there, lambda o: without(o, "Deployment", "gateway")),
    (pods.nothing_has_rights, lambda o: pod(o, "gateway")["securityContext"].update(ROOT_USER)),
    (pods.nothing_has_rights, lambda o: pod(o, "redis")["securityContext"].pop("seccompProfile")),
    (
        pods.nothing_has_rights,
        lambda o: container(o, "trainer")["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    (pods.nothing_has_rights, lambda o: container(o, "trainer")["securityContext"].pop("allowPrivilegeEscalation")),
    (
        pods.nothing_has_rights,
        lambda o: container(o, "trainer")["securityContext"].update(capabilities={"add": ["ALL"]}),
    ),
    (pods.nothing_has_rights, lambda o: pod(o, "gateway").update(hostNetwork=True)),
    (pods.nothing_has_rights, lambda o: pod(o, "gateway")["volumes"].append({"name": "n", "hostPath": {"path": "/"}})),
    (pods.no_pod_holds_a_token, lambda o: pod(o, "gateway").pop("automountServiceAccountToken")),
    (pods.no_pod_holds_a_token, lambda o: pod(o, "gateway").pop("serviceAccountName")),
    (pods.no_pod_holds_a_token, lambda o: the(o, "ServiceAccount", "redis").update(automountServiceAccountToken=True)),
    (pods.images_are_pinned, lambda o: container(o, "gateway").update(image="headgate.invalid/gateway:latest")),
    (pods.images_are_pinned, lambda o: container(o, "redis").update(image="redis")),
    (pods.images_cannot_be_a_strangers, lambda o: container(o, "gateway").update(image="headgate/gateway:0.1.0")),
    (pods.images_cannot_be_a_strangers, lambda o: container(o, "redis").update(image="redis-plus/redis:8.2.2")),
    (pods.resources_are_set, lambda o: container(o, "gateway")["resources"].pop("limits")),
    (pods.resources_are_set, lambda o: container(o, "gateway")["resources"]["requests"].pop("cpu")),
    (pods.probes_ask_the_right_thing, lambda o: container(o, "gateway").pop("livenessProbe")),
    (pods.probes_ask_the_right_thing, lambda o: container(o, "gateway").pop("readinessProbe")),
    (
        pods.probes_ask_the_right_thing,
        lambda o: container(o, "registry")["livenessProbe"]["httpGet"].update(path="/readyz"),
    ),
    (pods.probes_ask_the_right_thing, lambda o: container(o, "registry")["startupProbe"].update(failureThreshold=30)),
    (
        pods.probes_ask_the_right_thing,
        lambda o: container(o, "gateway")["livenessProbe"]["httpGet"].update(scheme="HTTP"),
    ),
    (
        pods.ports_speak_tls_or_say_that_they_do_not,
        lambda o: variable(o, "gateway", "HEADGATE_TLS_CERTIFICATE").update(name="HEADGATE_PLAIN"),
    ),
    (
        pods.certificates_name_their_service,
        lambda o: the(o, "Certificate", "gateway")["spec"].update(uris=["spiffe://headgate/registry"]),
    ),
    (
        pods.certificates_name_their_service,
        lambda o: the(o, "Certificate", "gateway")["spec"]["dnsNames"].remove("metrics.headgate.svc"),
    ),
    (pods.the_grace_is_longer_than_the_drain, lambda o: container(o, "gateway").pop("lifecycle")),
    (pods.the_grace_is_longer_than_the_drain, lambda o: pod(o, "gateway").update(terminationGracePeriodSeconds=20)),
    (pods.the_grace_is_longer_than_the_drain, lambda o: pod(o, "registry").update(terminationGracePeriodSeconds=10)),
    (pods.pods_are_spread, lambda o: pod(o, "gateway").pop("topologySpreadConstraints")),
    (
        pods.settings_are_known_and_complete,
        lambda o: variable(o, "gateway", "HEADGATE_KEYS").update(name="HEADGATE_KEY"),
    ),
    (pods.settings_are_known_and_complete, lambda o: given(variable(o, "gateway", "HEADGATE_PORT"), value="7400")),
    (pods.settings_are_known_and_complete, lambda o: given(variable(o, "registry", "HEADGATE_NAME"), value="registry")),
    (
        pods.settings_are_known_and_complete,
        lambda o: given(variable(o, "gateway", "HEADGATE_ADVERTISE"), value="gateway"),
    ),
    (pods.settings_are_known_and_complete, lambda o: pod(o, "registry").pop("enableServiceLinks")),
    (pods.secrets_are_referred_to, lambda o: o.append(SECRET)),
    (pods.secrets_are_referred_to, lambda o: given(variable(o, "registry", "REDIS_PASSWORD"), value="once")),
    (
        pods.secrets_are_referred_to,
        lambda o: given(variable(o, "registry", "HEADGATE_REDIS"), value="redis://:once@redis:6379/0"),
    ),
    (
        pods.only_the_registry_signs,
        lambda o: pod(o, "gateway")["volumes"].append({"name": "k", "secret": {"secretName": pods.SIGNING_KEY}}),
    ),
    (pods.what_is_mounted_is_there, lambda o: container(o, "gateway")["volumeMounts"].pop()),
    (pods.what_is_mounted_is_there, lambda o: pod(o, "gateway")["volumes"][0].update(emptyDir={})),
    (
        pods.what_is_mounted_is_there,
        lambda o: pod(o, "gateway")["volumes"][0].update(persistentVolumeClaim={"claimName": "nobody"}),
    ),
    (cluster.everything_is_in_one_namespace, lambda o: the(o, "Service", "gateway")["metadata"].pop("namespace")),
    (cluster.everything_is_in_one_namespace, lambda o: the(o, "Namespace", "headgate")["metadata"].pop("labels")),
    (cluster.everything_is_denied_by_default, lambda o: without(o, "NetworkPolicy", "default-deny")),
    (cluster.everything_is_denied_by_default, lambda o: the(o, "NetworkPolicy", "names").update(spec=OPEN)),
    (cluster.everything_is_denied_by_default, lambda o: the(o, "NetworkPolicy", "names").update(spec=ANY_PORT)),
    (cluster.every_node_can_be_drained, lambda o: without(o, "PodDisruptionBudget", "gateway")),
    (
        cluster.every_node_can_be_drained,
        lambda o: the(o, "PodDisruptionBudget", "trainer").update(
            spec={"minAvailable": 1, "selector": {"matchLabels": {cluster.NAME: "trainer"}}}
        ),
    ),
    (cluster.scaling_is_left_to_the_autoscaler, lambda o: without(o, "HorizontalPodAutoscaler", "gateway")),
    (cluster.scaling_is_left_to_the_autoscaler, lambda o: the(o, "Deployment", "gateway")["spec"].update(replicas=2)),
    (cluster.scaling_is_left_to_the_autoscaler, lambda o: the(o, "StatefulSet", "trainer")["spec"].update(replicas=2)),
    (
        cluster.names_are_stable_where_that_matters,
        lambda o: the(o, "StatefulSet", "registry").update(kind="Deployment"),
    ),
    (cluster.names_are_stable_where_that_matters, lambda o: the(o, "Service", "trainer")["spec"].pop("clusterIP")),
    (cluster.services_lead_to_their_pods, lambda o: the(o, "Service", "gateway")["spec"]["ports"][0].update(port=80)),
    (cluster.services_lead_to_their_pods, lambda o: the(o, "Service", "gateway")["spec"].update(selector={"app": "x"})),
    (cluster.services_lead_to_their_pods, lambda o: container(o, "gateway")["ports"].pop()),
    (
        cluster.topics_are_those_declared,
        lambda o: the(o, "KafkaTopic", "headgate.lifecycle")["spec"]["config"].update({"retention.ms": 1}),
    ),
    (cluster.topics_are_those_declared, lambda o: the(o, "KafkaTopic", "headgate.inbox")["spec"].update(partitions=6)),
    (cluster.topics_are_those_declared, lambda o: without(o, "KafkaTopic", "headgate.refusals")),
    (
        cluster.topics_are_those_declared,
        lambda o: the(o, "KafkaTopic", "headgate.inbox")["metadata"].update(name="headgate.inbx"),
    ),
    (cluster.users_have_the_least_they_need, lambda o: without(o, "KafkaUser", "gateway")),
    (
        cluster.users_have_the_least_they_need,
        lambda o: _acls(o, "trainer").append(_acl("topic", "headgate.lifecycle", "literal", "Write")),
    ),
    (
        cluster.users_have_the_least_they_need,
        lambda o: _acls(o, "gateway").append(_acl("topic", "*", "literal", "All")),
    ),
    (
        cluster.users_have_the_least_they_need,
        lambda o: _acls(o, "gateway").append(_acl("topic", "headgate.", "prefix", "Write")),
    ),
    (
        cluster.users_have_the_least_they_need,
        lambda o: _acls(o, "gateway").append(_acl("group", "registry.", "prefix", "Read")),
    ),
    (
        cluster.what_belongs_to_kafka_says_so,
        lambda o: the(o, "KafkaUser", "gateway")["metadata"]["labels"].update({cluster.CLUSTER: "other"}),
    ),
    (
        cluster.what_belongs_to_kafka_says_so,
        lambda o: _kafka_user(o, "gateway")["secret"].update(secretName="registry"),
    ),
    (cluster.the_log_survives_a_broker, lambda o: _kafka(o).update({"min.insync.replicas": 1})),
    (cluster.the_log_survives_a_broker, lambda o: _kafka(o).update({"auto.create.topics.enable": True})),
    (
        cluster.the_log_survives_a_broker,
        lambda o: the(o, "KafkaNodePool", "node")["spec"]["storage"]["volumes"][0].update(deleteClaim=True),
    ),
    (cluster.strimzi_offers_the_kafka, lambda o: the(o, "Kafka", "headgate")["spec"]["kafka"].update(version="4.4.0")),
    (
        cluster.queries_name_metrics_that_there_are,
        lambda o: the(o, "ScaledObject", "trainer")["spec"]["triggers"][0]["metadata"].update(
            query="sum(work_in_hand)"
        ),
    ),
    (cluster.everything_is_scraped, lambda o: the(o, "Service", "gateway")["metadata"].update(labels={})),
]


def _acls(overlay: Objects, user: str) -> list[object]:
    return the(overlay, "KafkaUser", user)["spec"]["authorization"]["acls"]


def _acl(kind: str, name: str, pattern: str, *operations: str) -> dict[str, object]:
    return {"resource": {"type": kind, "name": name, "patternType": pattern}, "operations": list(operations)}


def _kafka_user(overlay: Objects, name: str) -> Manifest:
    (found,) = [each for each in pod(overlay, name)["volumes"] if each["name"] == "kafka-user"]
    return found


def _kafka(overlay: Objects) -> dict[str, object]:
    return the(overlay, "Kafka", "headgate")["spec"]["kafka"]["config"]


@pytest.mark.parametrize(("rule", "change"), BREAKING)
def test_an_overlay_that_breaks_the_rule_is_caught(rule, change):
    changed = objects("prod")
    change(changed)
    assert list(rule(changed)) != []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_can_name_every_image_of_headgate(overlay):
    kustomization = yaml.safe_load((K8S / "overlays" / overlay / "kustomization.yaml").read_text())
    named = {image["name"] for image in kustomization["images"]}
    assert named == {f"{NOBODYS}{service}" for service in SERVICES}


def test_every_rule_has_a_change_that_it_catches():
    assert {rule for rule, _ in BREAKING} == set(RULES)
