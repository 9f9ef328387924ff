"""The bill of materials of a version follows CycloneDX 1.6, and says where every part comes from."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.bom.version import version_bom
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.trainer.attempt.provenance import provenance
from services.trainer.packages.lock import Lock, Pin
from tests.bom.schema import valid

COMMIT = "a" * 40
UPDATED, DECLARED, MANIFEST = "1" * 64, "2" * 64, "3" * 64
ENVIRONMENT = {"python": "3.11.7", "machine": "x86_64", "threads": "1", "torch": "2.13.0", "onnxscript": "missing"}


def version() -> resources.Version:
    report = facts.EvaluationReport(
        metrics=[facts.Metric(name="recall", value=0.925, interval=facts.Interval(low=0.9, high=0.95))],
        slices=[facts.SliceReport(slice="young", metrics=[facts.Metric(name="recall", value=0.5)])],
    )
    return resources.Version(
        name="models/fraud/versions/3",
        version=3,
        repository="https://git.example.com/fraud",
        commit=COMMIT,
        commit_message="Add <b>velocity</b> as a feature",
        verdict=resources.VERDICT_STATE_PASSED,
        configuration=configuration.ModelConfiguration(
            model="fraud",
            task="binary",
            data=[
                configuration.DataFile(name="transactions", uri="data/transactions.csv", sha256=DECLARED),
                configuration.DataFile(name="countries", uri="s3://data/countries.csv", sha256=DECLARED),
            ],
        ),
        updated_data=[configuration.UpdatedData(uri="data/transactions.csv", sha256=UPDATED)],
        artifact=facts.Artifact(
            manifest_sha256=MANIFEST, files=[facts.ArtifactFile(name="model.onnx", sha256=DECLARED, size_bytes=17)]
        ),
        report=report,
        update_time_ms=1_790_000_000_000,
    )


def statement(of: resources.Version, lock: Lock | None = None) -> dict[str, object]:
    made: dict[str, object] = json.loads(
        provenance({"model.onnx": b"x"}, of.repository, of.commit, of.configuration, ENVIRONMENT, lock)
    )
    return made


def test_a_bill_names_the_files_the_code_the_data_that_was_taken_and_the_trainers_libraries() -> None:
    found = valid(version_bom(version(), statement(version())))
    subject = found["metadata"]["component"]
    assert (subject["type"], subject["name"], subject["version"]) == ("machine-learning-model", "fraud", "3")
    assert subject["hashes"] == [{"alg": "SHA-256", "content": MANIFEST}]
    assert subject["externalReferences"][0]["url"] == "https://git.example.com/fraud"
    hashes = {each["bom-ref"]: each["hashes"][0]["content"] for each in found["components"] if "hashes" in each}
    assert hashes == {
        "file:model.onnx": DECLARED,
        "data:transactions": UPDATED,
        "data:countries": DECLARED,
    }
    packages = [each["purl"] for each in found["components"] if each["type"] == "library"]
    assert packages == ["pkg:pypi/torch@2.13.0"]


def test_a_bill_has_the_metrics_with_their_intervals_and_slices() -> None:
    card = valid(version_bom(version(), statement(version())))["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "recall", "value": "0.925", "confidenceInterval": {"lowerBound": "0.9", "upperBound": "0.95"}},
        {"type": "recall", "value": "0.5", "slice": "young"},
    ]


def test_packages_that_the_commit_locks_stand_beside_the_libraries_that_it_leaves_to_the_trainer() -> None:
    pins = tuple(Pin(line, name, "1.0", frozenset()) for line, name in enumerate(("einops", "torch"), start=1))
    locked = statement(version(), Lock("requirements.txt", "4" * 64, pins, "uv lock"))
    found = valid(version_bom(version(), locked))
    packages = [each["purl"] for each in found["components"] if each["type"] == "library"]
    assert packages == ["pkg:pypi/einops@1.0", "pkg:pypi/torch@1.0"]


def test_the_same_version_has_the_same_bill_everywhere() -> None:
    assert version_bom(version(), statement(version())) == version_bom(version(), statement(version()))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(predicate=JSON, definition=JSON, dependencies=JSON)
def test_a_provenance_of_any_other_form_still_gives_a_valid_bill(
    predicate: object, definition: object, dependencies: object
) -> None:
    nested = {
        "predicate": {"buildDefinition": {"resolvedDependencies": dependencies, "internalParameters": definition}}
    }
    for each in ({"predicate": predicate}, {"predicate": {"buildDefinition": definition}}, nested):
        valid(version_bom(version(), each))
