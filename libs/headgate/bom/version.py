"""The bill of materials of one version (an ML-BOM): its files, code, data and packages, and how good it is."""

import re
from collections.abc import Iterator, Mapping, Sequence

from headgate.bom.document import Json, document, properties, python_package, sha256_of
from headgate.domain.words import rfc3339, word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

PACKAGE = re.compile(r"pkg:pypi/([^@/]+)@([^@/]+)")
"""The address of a package of the Python package index, by https://github.com/package-url/purl-spec."""
_NO_LIBRARIES = frozenset({"python", "machine", "threads", "lock"})
"""Keys of a training's environment that are no packages."""


def version_bom(version: resources.Version, provenance: Mapping[str, object]) -> str:
    """The bill of a version that has an artifact. `provenance` is the in-toto statement among its files."""
    definition = _definition(provenance)
    dependencies = _sequence(definition.get("resolvedDependencies"))
    data = list(_data(version))
    components = [*_files(version), *data, *_packages(definition, dependencies)]
    return document(_model(version, provenance, data), components, rfc3339(version.update_time_ms, "seconds"))


def _model(version: resources.Version, provenance: Mapping[str, object], data: Sequence[Json]) -> Json:
    model = version.configuration.model
    return {
        "type": "machine-learning-model",
        "bom-ref": version.name,
        "name": model,
        "version": str(version.version),
        **sha256_of(version.artifact.manifest_sha256),
        **_source(version),
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "task": version.configuration.task,
                "datasets": [{"ref": component["bom-ref"]} for component in data],
            },
            "quantitativeAnalysis": {"performanceMetrics": list(_metrics(version.report))},
        },
        **properties(
            {
                "commit": version.commit,
                "commit_message": version.commit_message,
                "headgate_toml_sha256": version.configuration.digest.hex(),
                "verdict": word_of(resources.VerdictState, version.verdict),
                **{f"environment.{name}": value for name, value in _environment(_definition(provenance)).items()},
            }
        ),
    }


def _source(version: resources.Version) -> Json:
    if not version.repository:
        return {}
    return {"externalReferences": [{"type": "vcs", "url": version.repository, "comment": f"commit {version.commit}"}]}


def _files(version: resources.Version) -> Iterator[Json]:
    for file in version.artifact.files:
        size = properties({"size_bytes": str(file.size_bytes)})
        yield {"type": "file", "bom-ref": f"file:{file.name}", "name": file.name, **sha256_of(file.sha256), **size}


def _data(version: resources.Version) -> Iterator[Json]:
    """The data files, each with the digest of the bytes that this version took."""
    updated = {each.uri: each.sha256 for each in version.updated_data}
    for file in version.configuration.data:
        reference: Json = {"type": "data", "bom-ref": f"data:{file.name}", "name": file.name}
        contents: Json = {"contents": {"url": file.uri}} if file.uri else {}
        described = {"data": [{"type": "dataset", "name": file.name, **contents}]}
        yield reference | sha256_of(updated.get(file.uri, file.sha256)) | described
    for name, sha256 in (("model file", version.upload.model_sha256), ("test rows", version.upload.rows_sha256)):
        if sha256:
            yield {"type": "data", "bom-ref": f"upload:{name}", "name": name, **sha256_of(sha256)}


def _packages(definition: Mapping[str, object], dependencies: Sequence[object]) -> Iterator[Json]:
    """The packages that the commit locks, or else the trainer's libraries."""
    own = {name: version for name, version in _environment(definition).items() if name not in _NO_LIBRARIES}
    locked = {match[1]: match[2] for each in dependencies if (match := PACKAGE.fullmatch(_uri(each)))}
    for name, version in sorted((own | locked).items()):
        if version != "missing":
            yield python_package(name, version)


def _metrics(report: facts.EvaluationReport) -> Iterator[Json]:
    yield from (_metric(metric) for metric in report.metrics)
    for part in report.slices:
        yield from (_metric(metric) | {"slice": part.slice} for metric in part.metrics)


def _metric(metric: facts.Metric) -> Json:
    found: Json = {"type": metric.name, "value": repr(metric.value)}
    if not metric.HasField("interval"):
        return found
    low, high = metric.interval.low, metric.interval.high
    return found | {"confidenceInterval": {"lowerBound": repr(low), "upperBound": repr(high)}}


def _definition(provenance: Mapping[str, object]) -> Mapping[str, object]:
    return _mapping(_mapping(provenance.get("predicate")).get("buildDefinition"))


def _environment(definition: Mapping[str, object]) -> Mapping[str, str]:
    found = _mapping(_mapping(definition.get("internalParameters")).get("environment"))
    return {name: str(value) for name, value in found.items()}


def _uri(dependency: object) -> str:
    return str(_mapping(dependency).get("uri", ""))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []
