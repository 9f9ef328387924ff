"""What becomes of a delivery: proof, then meaning, then events. Pure."""

from collections.abc import Mapping, Sequence

from headgate.domain.state import ModelState
from services.portal.webhooks.cloud_events import events_of, require_allowed
from services.portal.webhooks.delivery import Delivery, Nothing, Push, malformed
from services.portal.webhooks.mapping import Repository, Taken, taken
from services.portal.webhooks.senders import said_by
from services.portal.webhooks.signatures import PROOFS, proof_of, require_recent, standard_webhooks

CLOUD_EVENTS = "cloudevents"
FORM = "application/x-www-form-urlencoded"


def decide(
    sender: str,
    delivery: Delivery,
    secrets: Sequence[str],
    repositories: Sequence[Repository],
    models: Mapping[str, ModelState],
) -> list[Taken | Nothing]:
    """The events of a delivery, and why other parts of it are none. Raises Refused.

    `secrets` are those that this address takes, and `repositories` those that were declared with it.
    """
    proof = proof_of(PROOFS[sender], delivery, secrets)
    is_signed = proof is standard_webhooks
    if is_signed:
        require_recent(delivery)
    if sender == CLOUD_EVENTS:
        return _cloud_events(delivery, is_signed, repositories, models)
    if delivery.header("content-type").startswith(FORM):
        raise malformed("the body is a form: choose application/json as the content type of the webhook")
    outcomes: list[Taken | Nothing] = []
    for said in said_by(sender, delivery):
        outcomes += taken(said, repositories, delivery.at_ms) if isinstance(said, Push) else [said]
    return outcomes


def _cloud_events(
    delivery: Delivery, is_signed: bool, repositories: Sequence[Repository], models: Mapping[str, ModelState]
) -> list[Taken | Nothing]:
    events = events_of(delivery, is_signed)
    for event in events:
        require_allowed(event, repositories, models)
    return [Taken(event, event.attributes.get("partitionkey", ""), "") for event in events]
