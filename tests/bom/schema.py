"""The published schema of CycloneDX 1.6 as a check."""

import json
from functools import cache
from typing import Any

from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator


@cache
def _validator() -> Any:
    return make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6)


def valid(text: str) -> dict[str, Any]:
    """The document, which follows the schema. The error says where it does not."""
    error = _validator().validate_str(text)
    assert error is None, error
    found: dict[str, Any] = json.loads(text)
    references = [each["bom-ref"] for each in found["components"]]
    assert len(references) == len(set(references))
    return found
