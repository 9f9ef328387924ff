"""Where an artifact comes from, as an in-toto statement with the build predicate of SLSA.

It holds no times, so that the same training gives the same bytes.
"""

import json
from collections.abc import Mapping

from headgate.artifacts.store import digest
from headgate.domain.credentials import without_credentials
from headgate.v1 import configuration_pb2 as configuration

BUILD_TYPE = "https://headgate.dev/training/v1"


def provenance(
    files: Mapping[str, bytes],
    repository: str,
    commit: str,
    parsed: configuration.ModelConfiguration,
    environment: Mapping[str, str],
) -> bytes:
    data = [{"name": file.name, "uri": file.uri, "digest": {"sha256": file.sha256}} for file in parsed.data]
    repository = without_credentials(repository)
    source = {"name": "repository", "uri": repository, "digest": {"gitCommit": commit}}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest(content)}} for name, content in sorted(files.items())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"repository": repository, "commit": commit},
                "internalParameters": {"configuration": parsed.digest.hex(), "environment": dict(environment)},
                "resolvedDependencies": [source, *data],
            },
            "runDetails": {"builder": {"id": "https://headgate.dev/trainer"}},
        },
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
