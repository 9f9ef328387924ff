"""What a record of a topic may ask for, and whose it is, where callers must prove who they are.

A record does not say who wrote it, only that the brokers let the writer write to this topic. So it gets nothing that a
person decides, and no name of a person.
"""

from collections.abc import Mapping

from headgate.domain.names import TOPIC_PREFIX, short_name
from headgate.domain.refusal import INVALID, Refused
from headgate.domain.state import ModelState
from headgate.v1 import commands_pb2 as commands

OF_WORKERS = frozenset(
    {
        "start_testing",
        "report_code_tested",
        "report_training_started",
        "report_training_finished",
        "report_training_failed",
        "start_evaluation",
        "report_evaluation_finished",
        "report_evaluation_failed",
        "decide_gate",
        "start_release",
        "begin_release",
        "report_candidate_ready",
        "set_weights",
        "report_weights_applied",
        "promote_release",
        "complete_release",
        "pause_release",
        "roll_back_release",
        "finish_rollback",
        "supersede_release",
    }
)
"""The commands of trainers, evaluators and deployers. All others are people's."""
PROVEN_BY = "topic"
PEOPLES_RULE = "where callers must prove who they are, what a person decides comes by gRPC alone"
WISH_RULE = (
    "a worker starts the release that the version's own configuration asks for, by the policy of the environment"
)


def actor_of(topic: str, said: str) -> str:
    """Whose a record is: the topic that its writer may write to, and what the record says of itself.

    No subject that is proven looks like this, so the record has the rights and the approvals of nobody.
    """
    return f"{TOPIC_PREFIX}{topic}/{said}"


def refuse_peoples(command: commands.Command, models: Mapping[str, ModelState]) -> Refused | None:
    """The refusal of a record that asks for what only a person may decide; None for what a worker may ask for."""
    name = command.WhichOneof("command") or ""
    if name and name not in OF_WORKERS:
        return Refused(INVALID, PEOPLES_RULE, f"{name} came by the topic of commands: {PEOPLES_RULE}", "command")
    if command.promote_release.from_pause:
        return Refused(INVALID, PEOPLES_RULE, f"from_pause is a person's: {PEOPLES_RULE}", "from_pause")
    if name == "start_release" and not _is_wished(command, models):
        return Refused(INVALID, WISH_RULE, f"this is another release: {WISH_RULE}", "environment")
    return None


def _is_wished(command: commands.Command, models: Mapping[str, ModelState]) -> bool:
    start, state = command.start_release, models.get(short_name(command.stream))
    version = state.versions.get(start.candidate) if state is not None else None
    if start.override_quarantine or start.HasField("policy"):
        return False
    if version is None:
        return True  # the decision says that there is none
    wish = version.configuration.release
    return (start.environment, start.strategy) == (wish.environment, wish.strategy)
