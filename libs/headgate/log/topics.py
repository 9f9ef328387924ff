"""The declaration of every topic of Headgate."""

from headgate.log.port import Topic

DAY_MS = 86_400_000
FOR_EVER = -1

INBOX = "headgate.inbox"
COMMANDS = "headgate.commands"
LIFECYCLE = "headgate.lifecycle"
TELEMETRY = "headgate.telemetry"
PREDICTIONS = "headgate.predictions"
REFUSALS = "headgate.refusals"
DEAD_LETTERS = "headgate.dead-letters"

REGISTRY_GROUP = "registry"
"""The consumer group of the registries, on inbox and commands."""

TOPICS = (
    Topic(INBOX, 30 * DAY_MS),
    Topic(COMMANDS, 30 * DAY_MS),
    Topic(LIFECYCLE, FOR_EVER),
    Topic(TELEMETRY, 30 * DAY_MS),
    Topic(PREDICTIONS, 14 * DAY_MS),
    Topic(REFUSALS, 90 * DAY_MS),
    Topic(DEAD_LETTERS, 90 * DAY_MS),
)


def retention_ms(name: str) -> int:
    """How long the records of the topic are kept, or FOR_EVER."""
    return next(topic.retention_ms for topic in TOPICS if topic.name == name)
