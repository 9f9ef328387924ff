"""The objects of each overlay, and their problems by the schemas of Kubernetes and of the custom resources."""

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
"""The oldest version that the manifests support: the first one in which the sleep of preStop is stable."""

SCHEMAS = Path(__file__).parent / "schemas"


@cache
def _built(overlay: str) -> str:
    return json.dumps(build(ROOT / "k8s/overlays" / overlay))


def objects(overlay: str) -> list[Manifest]:
    """The overlay's objects. The caller may change them."""
    return json.loads(_built(overlay))


def name_of(each: Manifest) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"


def problems(each: Manifest) -> Iterator[str]:
    """The problems of the object by its schema. An object without a known schema is a problem too."""
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
    """The strict schemas in schemas/custom, by API version and kind. They have only the fields that Headgate uses."""
    found = {}
    for path in SCHEMAS.glob("custom/*.json"):
        schema = json.loads(path.read_text())
        found[(schema["properties"]["apiVersion"]["const"], schema["properties"]["kind"]["const"])] = schema
    return found
