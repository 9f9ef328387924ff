"""The build state in which a failed attempt leaves its version: each stage has its own."""

from collections.abc import Mapping

from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

_FAILED_AT: Mapping[facts.Stage.ValueType, resources.BuildState.ValueType] = {
    facts.STAGE_CHECKOUT: resources.BUILD_STATE_CHECKOUT_FAILED,
    facts.STAGE_CONFIGURATION: resources.BUILD_STATE_CONFIGURATION_FAILED,
    facts.STAGE_DATA: resources.BUILD_STATE_DATA_FAILED,
    facts.STAGE_PACKAGES: resources.BUILD_STATE_PACKAGES_FAILED,
    facts.STAGE_TESTS: resources.BUILD_STATE_TESTS_FAILED,
    facts.STAGE_TRAINING: resources.BUILD_STATE_TRAINING_FAILED,
    facts.STAGE_EXPORT: resources.BUILD_STATE_EXPORT_FAILED,
}


def labelled_by_stage(reported: facts.TrainingFailed) -> facts.TrainingFailed:
    """The fact of this report. Facts of older registries say "training failed" whatever the stage was."""
    fact = facts.TrainingFailed(labelled_by_stage=True)
    fact.MergeFrom(reported)
    return fact


def failed_state(version: resources.Version, fact: facts.TrainingFailed) -> resources.BuildState.ValueType:
    """The state of the version after the fact."""
    if not fact.labelled_by_stage:
        return resources.BUILD_STATE_TRAINING_FAILED
    if version.HasField("upload"):
        return resources.BUILD_STATE_IMPORT_FAILED
    return _FAILED_AT.get(fact.stage, resources.BUILD_STATE_TRAINING_FAILED)
