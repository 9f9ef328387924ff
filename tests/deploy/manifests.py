"""The objects of each overlay, and what the schemas of Kubernetes and of the custom resources say of them."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from tests.deploy.kustomize import Manifest, build
from tests.house.tree import ROOT

OVERLAYS = ("dev", "prod", "own-kafka")
KUBERNETES = "1.34"
"""The oldest version the manifests are for: the first with the sleep of preStop as a stable feature."""

SCHEMAS = Path(__file__).parent / "schemas"


@cache
def _built(overlay: str) -> str:
    return json.dumps(build(ROOT / "k8s/overlays" / overlay))


def objects(overlay: str) -> list[Manifest]:
    """The overlay's objects, the caller's own to change."""
    return json.loads(_built(overlay))


def name_of(each: Manifest) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def problems(each: Manifest) -> Iterator[str]:
    """What is wrong with the object's shape; an object that no schema is known for is wrong too."""
    try:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{name_of(each)}: {'.'.join(str(part) for part in error.path)}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError:
        yield from _problems_of_custom(each)


def _problems_of_custom(each: Manifest) -> Iterator[str]:
    schema = _schemas().get((each["apiVersion"], each["kind"]))
    if schema is None:
        yield f"{name_of(each)}: no schema of {each['kind']} in {each['apiVersion']} is known"
        return
    for error in Draft202012Validator(schema).iter_errors(each):
        yield f"{name_of(each)}: {'.'.join(str(part) for part in error.path)}: {error.message}"


@cache
def _schemas() -> dict[tuple[str, str], Any]:
    """schemas/KIND.json by API version and kind; each is strict, and lists what Headgate uses of the resource."""
    found = {}
    for path in SCHEMAS.glob("custom/*.json"):
        schema = json.loads(path.read_text())
        found[(schema["properties"]["apiVersion"]["const"], schema["properties"]["kind"]["const"])] = schema
    return found
