"""A bill of materials as a CycloneDX 1.6 document (ECMA-424), in its JSON form: https://cyclonedx.org/docs/1.6/json/."""

import json
import uuid
from collections.abc import Mapping, Sequence

SPEC_VERSION = "1.6"
MEDIA_TYPE = "application/vnd.cyclonedx+json"

Json = dict[str, object]

_SERIAL_NUMBERS = uuid.UUID("d1c1c3f0-3f6b-5b0e-9d57-6a1f7f1f6f4e")
"""The namespace of the serial numbers. The same materials get the same number everywhere."""


def document(subject: Json, components: Sequence[Json], timestamp: str = "", uses: Sequence[str] = ()) -> str:
    """The whole document as JSON text. It depends on its arguments alone, so that two of them can be compared.

    `subject` is what the bill is about, with a `bom-ref`. It depends on the components with the references `uses`, or
    on all components. `timestamp` is in the form of RFC 3339.
    """
    used = list(uses) or [str(component["bom-ref"]) for component in components]
    body: Json = {
        "metadata": {
            **({"timestamp": timestamp} if timestamp else {}),
            "tools": {"components": [{"type": "application", "name": "headgate"}]},
            "component": subject,
        },
        "components": list(components),
        "dependencies": [
            {"ref": subject["bom-ref"], **({"dependsOn": used} if used else {})},
        ],
    }
    serial = uuid.uuid5(_SERIAL_NUMBERS, json.dumps(body, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": SPEC_VERSION, "serialNumber": f"urn:uuid:{serial}", "version": 1}
    return json.dumps({**head, **body}, indent=2)


def python_package(name: str, version: str, licence: str = "") -> Json:
    """A package of the Python package index. `name` is in its normal form: small letters and hyphens."""
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl} | _licensed(licence)


def debian_package(name: str, version: str, architecture: str) -> Json:
    purl = f"pkg:deb/debian/{name}@{version.replace(':', '%3A')}?arch={architecture}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def sha256_of(digest: str) -> Json:
    return {"hashes": [{"alg": "SHA-256", "content": digest}]}


def properties(values: Mapping[str, str]) -> Json:
    """Named values that CycloneDX has no field for. Empty ones are left out."""
    given = [{"name": f"headgate:{name}", "value": value} for name, value in values.items() if value]
    return {"properties": given} if given else {}


def _licensed(licence: str) -> Json:
    # As a name: an expression has to follow the grammar of SPDX, and many packages write free text.
    return {"licenses": [{"license": {"name": licence}}]} if licence else {}
