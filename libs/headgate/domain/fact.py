"""The closed set of facts: the generated classes are the types, this union names them all."""

from headgate.v1 import facts_pb2 as f

VersionFact = (
    f.VersionCreated
    | f.TestingStarted
    | f.CodeTested
    | f.TrainingStarted
    | f.TrainingFinished
    | f.TrainingFailed
    | f.EvaluationStarted
    | f.EvaluationFinished
    | f.EvaluationFailed
    | f.GateDecided
    | f.ApprovalGranted
    | f.ApprovalDenied
    | f.GateWaived
    | f.VersionTagged
    | f.VersionArchived
    | f.VersionPurged
    | f.CandidateQuarantined
    | f.QuarantineLifted
)
ReleaseFact = (
    f.ReleaseRequested
    | f.ReleaseStarted
    | f.CandidateReady
    | f.WeightsSet
    | f.WeightsApplied
    | f.PromotionStarted
    | f.ReleaseCompleted
    | f.ReleasePaused
    | f.ReleaseResumed
    | f.RollbackStarted
    | f.ReleaseRolledBack
    | f.ReleaseRejected
    | f.ReleaseSuperseded
)
ModelFact = (
    f.ModelCreated | f.ModelDescribed | f.ModelLabelled | f.AliasMoved | f.AliasRemoved | VersionFact | ReleaseFact
)
EnvironmentFact = f.EnvironmentCreated | f.PolicySet | f.FreezeDeclared | f.FreezeLifted
Fact = ModelFact | EnvironmentFact

FIELD_OF = {
    field.message_type.name: field.name
    for field in f.LifecycleRecord.DESCRIPTOR.oneofs_by_name["fact"].fields
    if field.message_type is not None
}
"""Name of the record's field for each fact's message name."""


def fact_of(record: f.LifecycleRecord) -> Fact | None:
    """The fact a record carries; None for one that this version of Headgate does not know."""
    name = record.WhichOneof("fact")
    if name is None:
        return None
    fact: Fact = getattr(record, name)
    return fact


def put_fact(record: f.LifecycleRecord, fact: Fact) -> None:
    """Copies the fact into its field of the record."""
    getattr(record, FIELD_OF[type(fact).__name__]).CopyFrom(fact)
