"""The rules for every pod in k8s/. Each rule is a function from an overlay's objects to its problems."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from headgate.lifecycle.service_parts import REPLAY_SECONDS
from headgate.log.startup import LOG_WAIT_SECONDS
from tests.deploy import service_settings
from tests.deploy.compose_rules import DRAIN_SECONDS, EXACT_TAG, NOBODYS, OFFICIAL
from tests.deploy.kustomize import Manifest, pod_of
from tests.deploy.manifests import name_of
from tests.deploy.service_settings import ELSEWHERE, SERVICES

Objects = list[Manifest]

UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SIGNING_KEY, TRUSTED_KEYS = "headgate-signing-key", "headgate-trusted-keys"
CHECKPOINT_KEY = "headgate-checkpoint-key"
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY")


def of_kind(objects: Objects, *kinds: str) -> Iterator[Manifest]:
    return (each for each in objects if each["kind"] in kinds)


def pods(objects: Objects) -> Iterator[tuple[str, Manifest, Manifest]]:
    """The name of the workload, its pod, and its only container."""
    for each in objects:
        if pod := pod_of(each):
            (container,) = pod["containers"]
            yield each["metadata"]["name"], pod, container


def services(objects: Objects) -> Iterator[tuple[str, Manifest, Manifest]]:
    return (found for found in pods(objects) if found[0] in SERVICES)


def every_service_is_there(objects: Objects) -> Iterator[str]:
    yield from (f"no workload for {name}" for name in set(SERVICES) - {name for name, _, _ in services(objects)})


def nothing_has_rights(objects: Objects) -> Iterator[str]:
    for name, pod, container in pods(objects):
        context = pod.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or not context.get("runAsUser") or not context.get("runAsGroup"):
            yield f"{name} may run as root"
        if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} may call anything of the kernel"
        if container.get("securityContext") != UNPRIVILEGED:
            yield f"{name}'s container keeps rights"
        for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(forbidden):
                yield f"{name} has {forbidden}"
        if any("hostPath" in volume for volume in pod.get("volumes", [])):
            yield f"{name} mounts a folder of its node"


def no_pod_holds_a_token(objects: Objects) -> Iterator[str]:
    accounts = {each["metadata"]["name"]: each for each in of_kind(objects, "ServiceAccount")}
    for name, pod, _ in pods(objects):
        account = accounts.get(pod.get("serviceAccountName", "default"), {})
        if account.get("automountServiceAccountToken") is not False:
            yield f"{name} has no account of its own, or one with a token"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name} mounts a token"


def images_are_pinned(objects: Objects) -> Iterator[str]:
    for name, _, container in pods(objects):
        if not EXACT_TAG.fullmatch(container["image"]):
            yield f"{name}: {container['image']} is neither an exact tag nor a digest"


def images_cannot_be_a_strangers(objects: Objects) -> Iterator[str]:
    """Without a registry in the overlay, an image cannot be pulled at all, instead of being pulled from a stranger."""
    for name, _, container in pods(objects):
        image = container["image"]
        if not image.startswith(NOBODYS) and image.partition(":")[0] not in OFFICIAL:
            yield f"{name}: anybody may own {image}"


def resources_are_set(objects: Objects) -> Iterator[str]:
    for name, _, container in pods(objects):
        resources = container.get("resources", {})
        if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
            yield f"{name} asks for no cpu and memory, or has no limit of memory"


def probes_ask_the_right_thing(objects: Objects) -> Iterator[str]:
    for name, _, container in services(objects):
        scheme = {"scheme": "HTTPS"} if certificate_of(container) else {}
        wanted = {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
        for probe, path in wanted.items():
            asked = container.get(probe, {}).get("httpGet")
            if asked != {"path": path, "port": "metrics"} | scheme:
                yield f"{name}: {probe} asks {asked}, not {path}"
        startup = container.get("startupProbe", {})
        if startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3) < LOG_WAIT_SECONDS + REPLAY_SECONDS:
            yield f"{name} is killed while it waits for the log, or replays it"


def certificate_of(container: Manifest) -> str:
    """The file of the service's certificate; empty without one."""
    return next((each["value"] for each in container["env"] if each["name"] == "HEADGATE_TLS_CERTIFICATE"), "")


def ports_speak_tls_or_say_that_they_do_not(objects: Objects) -> Iterator[str]:
    """Otherwise the service does not start."""
    for name, _, container in services(objects):
        says = any(each == {"name": "HEADGATE_PLAIN_TEXT", "value": "true"} for each in container["env"])
        if says == bool(certificate_of(container)):
            yield f"{name} needs a certificate or HEADGATE_PLAIN_TEXT, and not both"


def certificates_name_their_service(objects: Objects) -> Iterator[str]:
    """A service with a certificate mounts that of its own name. Prometheus and callers can check it."""
    made = {each["spec"]["secretName"]: each["spec"] for each in of_kind(objects, "Certificate")}
    for name, pod, container in services(objects):
        if not certificate_of(container):
            continue
        secrets = [volume.get("secret", {}).get("secretName") for volume in pod["volumes"]]
        held = [made[secret] for secret in secrets if secret in made]
        if [each.get("uris") for each in held] != [[f"spiffe://headgate/{name}"]]:
            yield f"{name} holds no certificate of its own name"
        if any("metrics.headgate.svc" not in each["dnsNames"] for each in held):
            yield f"{name}'s certificate lacks the name that Prometheus expects"


def the_grace_is_longer_than_the_drain(objects: Objects) -> Iterator[str]:
    for name, pod, container in services(objects):
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if name == "gateway" and not before:
            yield "the gateway drains before its callers know"
        if pod.get("terminationGracePeriodSeconds", 30) <= before + DRAIN_SECONDS:
            yield f"{name} is killed while it drains"


def pods_are_spread(objects: Objects) -> Iterator[str]:
    for name, pod, _ in services(objects):
        selectors = [each["labelSelector"]["matchLabels"] for each in pod.get("topologySpreadConstraints", [])]
        if {"app.kubernetes.io/name": name} not in selectors:
            yield f"{name}'s pods may all be on one node"


def settings_are_known_and_complete(objects: Objects) -> Iterator[str]:
    for name, pod, container in services(objects):
        environ = {each["name"]: each.get("value", ELSEWHERE) for each in container["env"]}
        yield from service_settings.problems(name, environ)
        if pod.get("enableServiceLinks") is not False:
            yield f"{name} reads the variables that Kubernetes makes of Services as settings"
        if _field(container, "HEADGATE_NAME") != "metadata.name":
            yield f"{name}: two replicas would have one name"
        if name == "gateway" and _field(container, "HEADGATE_ADVERTISE") != "status.podIP":
            yield "a gateway advertises an address that is not its own"


def _field(container: Manifest, variable: str) -> Any:
    (found,) = [each for each in container["env"] if each["name"] == variable] or [{}]
    return found.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")


def secrets_are_referred_to(objects: Objects) -> Iterator[str]:
    yield from (f"{name_of(each)} is committed" for each in of_kind(objects, "Secret"))
    for name, _, container in pods(objects):
        # The file of a secret is no secret.
        places = tuple(f"{mount['mountPath']}/" for mount in container.get("volumeMounts", []))
        for each in container.get("env", []):
            value = each.get("value", "")
            if SECRET_NAME.search(each["name"]) and value and not value.startswith(places):
                yield f"{name}: {each['name']} is given by value"
            if re.search(r"//[^/]*:[^@/$]+@", value):
                yield f"{name}: {each['name']} holds a password"


def only_the_registry_signs(objects: Objects) -> Iterator[str]:
    wanted = {
        "registry": {SIGNING_KEY, TRUSTED_KEYS},
        "trainer": {CHECKPOINT_KEY},
        "evaluator": {TRUSTED_KEYS},
        "gateway": {TRUSTED_KEYS},
    }
    for name, pod, _ in pods(objects):
        secrets = {volume["secret"]["secretName"] for volume in pod.get("volumes", []) if "secret" in volume}
        if (found := secrets & {SIGNING_KEY, TRUSTED_KEYS, CHECKPOINT_KEY}) != wanted.get(name, set()):
            yield f"{name} sees the keys {sorted(found)}"


def what_is_mounted_is_there(objects: Objects) -> Iterator[str]:
    claims = {each["metadata"]["name"] for each in of_kind(objects, "PersistentVolumeClaim")}
    for name, pod, container in pods(objects):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        if mounts != volumes.keys():
            yield f"{name} has volumes and mounts that do not meet: {sorted(mounts ^ volumes.keys())}"
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in claims:
                yield f"{name} mounts the claim {claim}, which is not there"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name}: {volume['name']} has no limit"


RULES: tuple[Callable[[Objects], Iterator[str]], ...] = (
    every_service_is_there,
    nothing_has_rights,
    no_pod_holds_a_token,
    images_are_pinned,
    images_cannot_be_a_strangers,
    resources_are_set,
    probes_ask_the_right_thing,
    ports_speak_tls_or_say_that_they_do_not,
    certificates_name_their_service,
    the_grace_is_longer_than_the_drain,
    pods_are_spread,
    settings_are_known_and_complete,
    secrets_are_referred_to,
    only_the_registry_signs,
    what_is_mounted_is_there,
)
