"""The connections that the NetworkPolicies of an overlay allow, with one line for each."""

from collections.abc import Iterator

from tests.deploy.kustomize import Manifest
from tests.deploy.pod_policies import Objects, of_kind

NAMES = ("app.kubernetes.io/name", "strimzi.io/name", "k8s-app")


def flows(objects: Objects) -> set[str]:
    """`A -> B:PORT` for an outgoing connection of A, `A <- B:PORT` for an incoming one."""
    return {line for each in of_kind(objects, "NetworkPolicy") for line in _of(each["spec"])}


def _of(spec: Manifest) -> Iterator[str]:
    for direction, peers, arrow in (("egress", "to", "->"), ("ingress", "from", "<-")):
        for rule in spec.get(direction, []):
            for here in _selected(spec["podSelector"]):
                for there in [each for peer in rule.get(peers, [{}]) for each in _peer(peer)]:
                    for port in rule["ports"]:
                        yield f"{here} {arrow} {there}:{port['port']}{_last(port)}"


def _last(port: Manifest) -> str:
    return f"-{port['endPort']}" if "endPort" in port else ""


def _selected(selector: Manifest) -> list[str]:
    labels = selector.get("matchLabels", {})
    for expression in selector.get("matchExpressions", []):
        return list(expression["values"])
    for name in NAMES:
        if name in labels:
            return [labels[name]]
    return [",".join(f"{name.rpartition('/')[2]}={value}" for name, value in sorted(labels.items())) or "all"]


def _peer(peer: Manifest) -> list[str]:
    if block := peer.get("ipBlock"):
        return [f"{block['cidr']} except {','.join(block['except'])}"]
    if not peer:
        return ["anywhere"]
    pods = _selected(peer["podSelector"]) if "podSelector" in peer else ["all"]
    if "namespaceSelector" not in peer:
        return pods
    (namespace,) = _selected(peer["namespaceSelector"])
    return [f"{each} of {namespace}" for each in pods]
