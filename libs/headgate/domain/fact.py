"""All facts, as closed unions of the generated classes."""

from headgate.v1 import facts_pb2 as facts

VersionFact = (
    facts.VersionCreated
    | facts.TestingStarted
    | facts.CodeTested
    | facts.TrainingStarted
    | facts.TrainingFinished
    | facts.TrainingFailed
    | facts.ArtifactSigned
    | facts.EvaluationStarted
    | facts.EvaluationFinished
    | facts.EvaluationFailed
    | facts.VersionCancelled
    | facts.GateDecided
    | facts.ApprovalGranted
    | facts.ApprovalDenied
    | facts.GateWaived
    | facts.VersionTagged
    | facts.VersionArchived
    | facts.VersionPurged
    | facts.CandidateQuarantined
    | facts.QuarantineLifted
)
LaterReleaseFact = (
    facts.ReleaseStarted
    | facts.CandidateReady
    | facts.WeightsSet
    | facts.WeightsApplied
    | facts.PromotionStarted
    | facts.ReleaseCompleted
    | facts.ReleasePaused
    | facts.ReleaseResumed
    | facts.RollbackStarted
    | facts.ReleaseRolledBack
    | facts.ReleaseRejected
    | facts.ReleaseSuperseded
)
ReleaseFact = facts.ReleaseRequested | LaterReleaseFact
ModelFact = (
    facts.ModelCreated
    | facts.ModelDescribed
    | facts.ModelLabelled
    | facts.RepositoryAdded
    | facts.RepositoryRemoved
    | facts.AliasMoved
    | facts.AliasRemoved
    | VersionFact
    | ReleaseFact
)
EnvironmentFact = facts.EnvironmentCreated | facts.PolicySet | facts.FreezeDeclared | facts.FreezeLifted
AccessFact = facts.RoleGranted | facts.RoleRevoked | facts.TokenCreated | facts.TokenRevoked
Fact = ModelFact | EnvironmentFact | AccessFact

FIELD_OF = {
    field.message_type.name: field.name
    for field in facts.LifecycleRecord.DESCRIPTOR.oneofs_by_name["fact"].fields
    if field.message_type is not None
}
"""The field of LifecycleRecord that holds a fact, by the name of the fact's message."""


def fact_of(record: facts.LifecycleRecord) -> Fact | None:
    """The fact in a record; None for a fact that this version of Headgate does not know."""
    name = record.WhichOneof("fact")
    if name is None:
        return None
    fact: Fact = getattr(record, name)
    return fact


def put_fact(record: facts.LifecycleRecord, fact: Fact) -> None:
    """Copies the fact into its field of the record."""
    getattr(record, FIELD_OF[type(fact).__name__]).CopyFrom(fact)
