"""What becomes of a delivery: proof, then meaning, then events. Pure.

Proof and meaning need no state. So whoever asks for them holds no lock meanwhile: anybody may send 8 MiB to be proven.
"""

from collections.abc import Mapping, Sequence

from headgate.domain.state import ModelState
from headgate.log.envelope import CloudEvent
from services.portal.webhooks.cloud_events import events_of, require_allowed
from services.portal.webhooks.delivery import Delivery, Nothing, Push, malformed
from services.portal.webhooks.mapping import Repository, Taken, taken
from services.portal.webhooks.senders import said_by
from services.portal.webhooks.signatures import PROOFS, proof_of, require_recent, standard_webhooks

CLOUD_EVENTS = "cloudevents"
FORM = "application/x-www-form-urlencoded"


Said = Sequence[Push | CloudEvent | Nothing]


def proven(sender: str, delivery: Delivery, secrets: Sequence[str]) -> Said:
    """What a delivery says, once one of the secrets that its address takes has proven it. Raises Refused."""
    proof = proof_of(PROOFS[sender], delivery, secrets)
    is_signed = proof is standard_webhooks
    if is_signed:
        require_recent(delivery)
    if sender == CLOUD_EVENTS:
        return events_of(delivery, is_signed)
    if delivery.header("content-type").startswith(FORM):
        raise malformed("the body is a form: choose application/json as the content type of the webhook")
    return said_by(sender, delivery)


def decide(
    said: Said, repositories: Sequence[Repository], models: Mapping[str, ModelState], at_ms: int
) -> list[Taken | Nothing]:
    """The events of what was said, and why other parts of it are none. Raises Refused.

    `repositories` are those that were declared with the secret of the address.
    """
    outcomes: list[Taken | Nothing] = []
    for each in said:
        if isinstance(each, Push):
            outcomes += taken(each, repositories, at_ms)
        elif isinstance(each, CloudEvent):
            require_allowed(each, repositories, models)
            outcomes.append(Taken(each, each.attributes.get("partitionkey", ""), ""))
        else:
            outcomes.append(each)
    return outcomes
