"""Short functions for changes of an overlay's objects that a rule must catch."""

from typing import Any

from tests.deploy.kustomize import Manifest, pod_of
from tests.deploy.pod_policies import Objects


def the(objects: Objects, kind: str, name: str) -> Manifest:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def pod(objects: Objects, name: str) -> Manifest:
    (found,) = [pod_of(each) for each in objects if pod_of(each) and each["metadata"]["name"] == name]
    return found


def container(objects: Objects, name: str) -> Manifest:
    return pod(objects, name)["containers"][0]


def variable(objects: Objects, name: str, variable_name: str) -> Manifest:
    (found,) = [each for each in container(objects, name)["env"] if each["name"] == variable_name]
    return found


def without(objects: Objects, kind: str, name: str) -> None:
    objects.remove(the(objects, kind, name))


def given(each: Manifest, **value: Any) -> None:
    """Gives the variable a value or a source."""
    name = each["name"]
    each.clear()
    each.update(name=name, **value)
