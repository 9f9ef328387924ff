"""Builds a kustomization without a kustomize binary. It has exactly the features that k8s/ uses and refuses others.

The features are resources and components, namespace, labels, replicas, images, JSON 6902 patches, and config maps from
files without a hash suffix. Users run `kubectl apply -k`; both give the same objects.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

KNOWN = frozenset(
    {"apiVersion", "kind", "resources", "components", "namespace", "labels", "replicas", "images", "patches"}
    | {"configMapGenerator", "generatorOptions"}
)
CLUSTER_WIDE = frozenset({"Namespace"})
WORKLOADS = frozenset({"Deployment", "StatefulSet", "Job"})


class Unsupported(Exception):
    """The kustomization uses a feature that this builder does not have, or names an object that does not exist."""


def build(folder: Path) -> list[Manifest]:
    """The objects of a kustomization and of its components."""
    return _build(folder, [])


def _build(folder: Path, inherited: list[Manifest]) -> list[Manifest]:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := kustomization.keys() - KNOWN:
        raise Unsupported(f"{folder}: {', '.join(sorted(unknown))}")
    objects = inherited + [each for name in kustomization.get("resources", []) for each in _resource(folder / name)]
    for generator in kustomization.get("configMapGenerator", []):
        objects.append(_config_map(folder, generator, kustomization.get("generatorOptions", {})))
    for name in kustomization.get("components", []):
        objects = _build(folder / name, objects)
    for patch in kustomization.get("patches", []):
        _patch(folder, objects, patch)
    _transform(objects, kustomization)
    return objects


def _resource(path: Path) -> list[Manifest]:
    if path.is_dir():
        return build(path)
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def _config_map(folder: Path, generator: Manifest, options: Manifest) -> Manifest:
    if options.get("disableNameSuffixHash") is not True or generator.keys() - {"name", "files"}:
        raise Unsupported(f"{folder}: a config map with a suffix, or made of anything but files")
    metadata = {"name": generator["name"]}
    if "labels" in options:
        metadata["labels"] = dict(options["labels"])
    data = {Path(name).name: (folder / name).read_text() for name in generator["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _transform(objects: list[Manifest], kustomization: Manifest) -> None:
    for each in objects:
        if (namespace := kustomization.get("namespace")) and each["kind"] not in CLUSTER_WIDE:
            each["metadata"]["namespace"] = namespace
        for labels in kustomization.get("labels", []):
            _label(each, labels)
        for image in kustomization.get("images", []):
            _retag(each, image)
        for replicas in kustomization.get("replicas", []):
            if each["kind"] in WORKLOADS and each["metadata"]["name"] == replicas["name"]:
                each["spec"]["replicas"] = replicas["count"]


def _label(each: Manifest, labels: Manifest) -> None:
    if labels.get("includeSelectors"):
        raise Unsupported("labels that change selectors")
    each["metadata"].setdefault("labels", {}).update(labels["pairs"])
    if labels.get("includeTemplates") and each["kind"] in WORKLOADS:
        each["spec"]["template"]["metadata"].setdefault("labels", {}).update(labels["pairs"])


def _retag(each: Manifest, image: Manifest) -> None:
    for container in pod_of(each).get("containers", []):
        name, _, _ = container["image"].partition(":")
        if name == image["name"]:
            tag = f"@{image['digest']}" if "digest" in image else f":{image['newTag']}"
            container["image"] = image.get("newName", name) + tag


def pod_of(each: Manifest) -> Manifest:
    """The pod of a workload; empty for other objects."""
    return each["spec"]["template"]["spec"] if each["kind"] in WORKLOADS else {}


def _patch(folder: Path, objects: list[Manifest], patch: Manifest) -> None:
    text = patch["patch"] if "patch" in patch else (folder / patch["path"]).read_text()
    operations = yaml.safe_load(text)
    if not isinstance(operations, list):
        raise Unsupported(f"{folder}: a patch that is no list of JSON 6902 operations")
    if unknown := patch["target"].keys() - {"kind", "name", "labelSelector"}:
        raise Unsupported(f"{folder}: a target by {', '.join(sorted(unknown))}")
    targets = list(_targets(objects, patch["target"]))
    if not targets:
        raise Unsupported(f"{folder}: a patch of {patch['target']}, which does not exist")
    for target in targets:
        for operation in operations:
            _apply(target, operation)


def _targets(objects: list[Manifest], target: Manifest) -> Iterator[Manifest]:
    wanted = dict(pair.split("=") for pair in target.get("labelSelector", "").split(",") if pair)
    for each in objects:
        labels = each["metadata"].get("labels", {})
        if (
            re.fullmatch(target.get("kind", ".*"), each["kind"])
            and re.fullmatch(target.get("name", ".*"), each["metadata"]["name"])
            and all(labels.get(name) == value for name, value in wanted.items())
        ):
            yield each


def _apply(target: Manifest, operation: Manifest) -> None:
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    place: Any = target
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    value = copy.deepcopy(operation.get("value"))
    key: Any = int(last) if isinstance(place, list) and last != "-" else last
    match operation["op"]:
        case "add" if last == "-":
            place.append(value)
        case "add" if isinstance(place, list):
            place.insert(key, value)
        case "add":
            place[key] = value
        case "replace":
            place[key]  # raises an error when there is nothing to replace
            place[key] = value
        case "remove":
            del place[key]
        case unknown:
            raise Unsupported(f"the operation {unknown}")
