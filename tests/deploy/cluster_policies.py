"""The rules for k8s/ beside its pods: networks, disruption, scaling, Kafka's topics and users, monitoring."""

from collections.abc import Callable, Iterator
from typing import Any

from headgate.log import topics
from headgate.log.kafka.topics import declared_settings
from headgate.log.rights import RIGHTS
from headgate.runtime.observability import metric_catalogue
from tests.deploy.kustomize import Manifest
from tests.deploy.manifests import name_of
from tests.deploy.pod_policies import Objects, of_kind, pods
from tests.deploy.service_settings import CONSOLE_PORT, EDGE_PORT, METRICS_PORT, REST_PORT, SERVICES, port_of

NAME = "app.kubernetes.io/name"
CLUSTER = "strimzi.io/cluster"

ACCESS: dict[str, tuple[set[str], set[str]]] = {
    name: (set(rights.reads), set(rights.writes)) for name, rights in RIGHTS.items()
}
"""The topics that each Kafka user reads and writes."""

STRIMZI_KAFKA = ((4, 2, 0), (4, 3, 1))
"""The oldest and the newest Kafka that Strimzi 1.2.0 starts."""


def everything_is_in_one_namespace(objects: Objects) -> Iterator[str]:
    (namespace,) = of_kind(objects, "Namespace")
    for each in objects:
        if each is not namespace and each["metadata"].get("namespace") != namespace["metadata"]["name"]:
            yield f"{name_of(each)} is in {each['metadata'].get('namespace')}"
    if namespace["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace takes pods with rights"


def everything_is_denied_by_default(objects: Objects) -> Iterator[str]:
    wanted = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if wanted not in [each["spec"] for each in of_kind(objects, "NetworkPolicy")]:
        yield "no policy denies what no other allows"
    for each in of_kind(objects, "NetworkPolicy"):
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in each["spec"].get(direction, []):
                if not rule.get("ports"):
                    yield f"{name_of(each)} allows every port"
                if direction == "ingress" and not rule.get(peers):
                    yield f"{name_of(each)} lets everybody in"


def every_node_can_be_drained(objects: Objects) -> Iterator[str]:
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "PodDisruptionBudget")}
    for each in of_kind(objects, "Deployment", "StatefulSet"):
        budget = budgets.get(each["metadata"]["name"], {})
        if budget.get("selector") != each["spec"]["selector"]:
            yield f"{name_of(each)} has no budget"
        elif budget.get("maxUnavailable") != 1:
            yield f"{name_of(each)} would keep a node from being drained, or lose more than one pod at once"


def scaling_is_left_to_the_autoscaler(objects: Objects) -> Iterator[str]:
    scalers = [each["spec"]["scaleTargetRef"] for each in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")]
    scaled = {(target["kind"], target["name"]) for target in scalers}
    if ("Deployment", "gateway") not in scaled:
        yield "nothing scales the gateway"
    workloads = {
        (each["kind"], each["metadata"]["name"]): each for each in of_kind(objects, "Deployment", "StatefulSet")
    }
    for target in scaled:
        if target not in workloads:
            yield f"{target} is scaled and not there"
        elif "replicas" in workloads[target]["spec"]:
            yield f"{target} would be set back at every roll-out"


def names_are_stable_where_that_matters(objects: Objects) -> Iterator[str]:
    stateful = {each["metadata"]["name"]: each for each in of_kind(objects, "StatefulSet")}
    headless = {
        each["metadata"]["name"] for each in of_kind(objects, "Service") if each["spec"].get("clusterIP") == "None"
    }
    for name in ("registry", "trainer"):
        if name not in stateful or stateful[name]["spec"]["serviceName"] not in headless:
            yield f"{name} has another name after a restart"


def services_lead_to_their_pods(objects: Objects) -> Iterator[str]:
    found = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Service")}
    ports = {name: {port["name"]: port["containerPort"] for port in c.get("ports", [])} for name, _, c in pods(objects)}
    for name, spec in found.items():
        leads = {port["name"]: port["port"] for port in spec["ports"]}
        if spec["selector"] != {NAME: name} or leads != ports.get(name):
            yield f"the service {name} leads to {leads}, its pods listen at {ports.get(name)}"
    for name in SERVICES:
        expected = {"grpc": int(port_of(name)), "metrics": int(METRICS_PORT)}
        if name == "gateway":
            expected["rest"] = int(REST_PORT)
            expected |= {"edge": int(EDGE_PORT)} if "edge" in ports[name] else {}
        if name == "portal":
            expected["console"] = int(CONSOLE_PORT)
        if ports[name] != expected or name not in found:
            yield f"{name} has no service, or listens at {ports[name]}"


def topics_are_those_declared(objects: Objects) -> Iterator[str]:
    found = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "KafkaTopic")}
    if not list(of_kind(objects, "Kafka")):
        return
    for topic in topics.TOPICS:
        spec = found.pop(topic.name, {})
        config = {name: str(value) for name, value in spec.get("config", {}).items()}
        config["partitions"] = str(spec.get("partitions"))
        if config != declared_settings(topic):
            yield f"{topic.name} has {config}"
    yield from (f"{name} is no topic of Headgate" for name in found)


def users_have_the_least_they_need(objects: Objects) -> Iterator[str]:
    users = {each["metadata"]["name"]: each["spec"]["authorization"]["acls"] for each in of_kind(objects, "KafkaUser")}
    if not list(of_kind(objects, "Kafka")):
        return
    if users.keys() != ACCESS.keys():
        yield f"users: {sorted(users)}"
    for name, acls in users.items():
        if (found := access(acls)) != ACCESS.get(name):
            yield f"{name} reads and writes {found}"
        for acl in acls:
            yield from _too_wide(name, acl)


def access(acls: list[Manifest]) -> tuple[set[str], set[str]]:
    """The topics that are read, and those that are written."""
    literal = [
        acl for acl in acls if acl["resource"]["type"] == "topic" and acl["resource"]["patternType"] == "literal"
    ]
    return (
        {acl["resource"]["name"] for acl in literal if "Read" in acl["operations"]},
        {acl["resource"]["name"] for acl in literal if "Write" in acl["operations"]},
    )


def _too_wide(name: str, acl: Manifest) -> Iterator[str]:
    resource, operations = acl["resource"], set(acl["operations"])
    match resource["type"], resource.get("patternType"):
        case "topic", "literal":
            allowed = {"Read", "Write"}
        case "topic", "prefix":
            allowed = {"Describe", "DescribeConfigs"}
        case "group", "prefix" if name == "registry" and resource["name"] == "registry.":
            allowed = {"Read", "Describe"}
        case _:
            allowed = set()
    if not operations <= allowed:
        yield f"{name} may {sorted(operations - allowed)} {resource}"


def what_belongs_to_kafka_says_so(objects: Objects) -> Iterator[str]:
    clusters = {each["metadata"]["name"] for each in of_kind(objects, "Kafka")}
    users = {each["metadata"]["name"] for each in of_kind(objects, "KafkaUser")}
    for each in of_kind(objects, "KafkaNodePool", "KafkaTopic", "KafkaUser"):
        if each["metadata"]["labels"][CLUSTER] not in clusters:
            yield f"{name_of(each)} belongs to no cluster"
    for name, pod, _ in pods(objects):
        for volume in pod.get("volumes", []):
            if volume["name"] == "kafka-user" and (volume["secret"]["secretName"] != name or name not in users):
                yield f"{name} is another Kafka user"


def the_log_survives_a_broker(objects: Objects) -> Iterator[str]:
    """A rule for clusters with more than one broker. A single broker keeps one copy of everything."""
    for each in of_kind(objects, "Kafka"):
        (pool,) = of_kind(objects, "KafkaNodePool")
        config, brokers = each["spec"]["kafka"]["config"], pool["spec"]["replicas"]
        copies, insync = (3, 2) if brokers >= 3 else (1, 1)
        if (config["default.replication.factor"], config["min.insync.replicas"]) != (copies, insync):
            yield f"{brokers} brokers keep {config['default.replication.factor']} copies"
        if (
            config["auto.create.topics.enable"] is not False
            or each["spec"]["kafka"]["authorization"]["type"] != "simple"
        ):
            yield "anybody may make topics"
        if any(volume["deleteClaim"] is not False for volume in pool["spec"]["storage"]["volumes"]):
            yield "the log goes with the cluster"


def strimzi_offers_the_kafka(objects: Objects) -> Iterator[str]:
    oldest, newest = STRIMZI_KAFKA
    for each in of_kind(objects, "Kafka"):
        version = each["spec"]["kafka"]["version"]
        if not oldest <= tuple(int(part) for part in version.split(".")) <= newest:
            yield f"Strimzi starts no broker of version {version}"


def queries_name_metrics_that_there_are(objects: Objects) -> Iterator[str]:
    names = {metric.name for metric in metric_catalogue.CATALOGUE}
    for each in of_kind(objects, "ScaledObject"):
        for trigger in each["spec"]["triggers"]:
            query = trigger["metadata"]["query"]
            if not any(name in query for name in names):
                yield f"{query} names no metric of Headgate"


def everything_is_scraped(objects: Objects) -> Iterator[str]:
    services = {each["metadata"]["name"]: each for each in of_kind(objects, "Service")}
    for monitor in of_kind(objects, "ServiceMonitor"):
        wanted: dict[str, Any] = monitor["spec"]["selector"]["matchLabels"]
        selected = {name for name, each in services.items() if wanted.items() <= each["metadata"]["labels"].items()}
        if selected != set(SERVICES):
            yield f"scraped are {sorted(selected)}"


RULES: tuple[Callable[[Objects], Iterator[str]], ...] = (
    everything_is_in_one_namespace,
    everything_is_denied_by_default,
    every_node_can_be_drained,
    scaling_is_left_to_the_autoscaler,
    names_are_stable_where_that_matters,
    services_lead_to_their_pods,
    topics_are_those_declared,
    users_have_the_least_they_need,
    what_belongs_to_kafka_says_so,
    the_log_survives_a_broker,
    strimzi_offers_the_kafka,
    queries_name_metrics_that_there_are,
    everything_is_scraped,
)
