"""Whether a delivery comes from whoever knows the secret. Decided on its raw bytes, in constant time. Pure.

Sources: docs.github.com "Validating webhook deliveries"; docs.gitlab.com "Webhooks", "Signing tokens"; docs.gitea.com
"Webhooks"; support.atlassian.com "Manage webhooks"; standardwebhooks.com, the specification.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping, Sequence

from services.portal.webhooks.delivery import Delivery, Refused

TOLERANCE_MS = 5 * 60_000
"""How old a signed delivery may be, or how far its sender's clock may be ahead."""
MAX_SIGNATURES = 16
UNPROVEN = "unproven-delivery"
_PREFIX = "whsec_"
_SECONDS = re.compile(r"\d{1,12}")

Proof = Callable[[Delivery, str], bool]


def proof_of(proofs: Sequence[Proof], delivery: Delivery, secrets: Sequence[str]) -> Proof:
    """The proof that holds by one of the secrets. Raises Refused when none does. Every refusal looks the same."""
    # All are asked, so that the time says nothing about which secret was nearly right.
    held = [proof for secret in secrets or ("",) for proof in proofs if proof(delivery, secret)]
    if not secrets or not held:
        rule = "no secret of this address proves this delivery: compare the secret at the sender with the file's"
        raise Refused(401, UNPROVEN, rule)
    return held[0]


def require_recent(delivery: Delivery) -> None:
    """Raises Refused for a delivery by Standard Webhooks whose time, which is signed, is too far from ours."""
    text = delivery.header("webhook-timestamp")
    if not text:
        return
    if not _SECONDS.fullmatch(text) or abs(int(text) * 1_000 - delivery.at_ms) > TOLERANCE_MS:
        rule = f"webhook-timestamp: expected a time in seconds at most {TOLERANCE_MS // 60_000} minutes from now"
        raise Refused(401, "stale-delivery", f"{rule}: is the sender's clock right?")


def hub_signature_256(delivery: Delivery, secret: str) -> bool:
    """X-Hub-Signature-256 of GitHub, Gitea and Forgejo: sha256=HEX."""
    return _is_hmac(delivery, "x-hub-signature-256", "sha256=", secret)


def hub_signature(delivery: Delivery, secret: str) -> bool:
    """X-Hub-Signature of Bitbucket: sha256=HEX. The sha1 of others is no proof."""
    return _is_hmac(delivery, "x-hub-signature", "sha256=", secret)


def gitea_signature(delivery: Delivery, secret: str) -> bool:
    """X-Gitea-Signature or X-Forgejo-Signature: HEX."""
    names = ("x-gitea-signature", "x-forgejo-signature")
    return any(_is_hmac(delivery, name, "", secret) for name in names)


def gitlab_token(delivery: Delivery, secret: str) -> bool:
    """X-Gitlab-Token: the secret itself. A secret for signatures is never taken in plain."""
    shown = delivery.header("x-gitlab-token")
    return _same(shown, secret) and bool(shown) and not secret.startswith(_PREFIX)


def bearer(delivery: Delivery, secret: str) -> bool:
    """Authorization: Bearer SECRET."""
    scheme, _, shown = delivery.header("authorization").partition(" ")
    return _same(shown.strip(), secret) and bool(shown) and scheme.lower() == "bearer"


def standard_webhooks(delivery: Delivery, secret: str) -> bool:
    """webhook-signature: v1,BASE64 of the HMAC-SHA256 of ID.TIMESTAMP.BODY; several stand side by side."""
    identity, timestamp = delivery.header("webhook-id"), delivery.header("webhook-timestamp")
    key = _key(secret)
    if not identity or not timestamp or not key:
        return False
    signed = f"{identity}.{timestamp}.".encode() + delivery.body
    wanted = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    shown = delivery.header("webhook-signature").split(" ")[:MAX_SIGNATURES]
    return any(_same(each, wanted) for each in shown)


def _key(secret: str) -> bytes:
    """The key in a secret: the bytes of whsec_BASE64, else its characters."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_hmac(delivery: Delivery, name: str, prefix: str, secret: str) -> bool:
    wanted = prefix + hmac.digest(secret.encode(), delivery.body, "sha256").hex()
    return _same(delivery.header(name).lower(), wanted)


def _same(shown: str, wanted: str) -> bool:
    return hmac.compare_digest(shown.encode(errors="surrogatepass"), wanted.encode(errors="surrogatepass"))


GENERIC: Sequence[Proof] = (standard_webhooks,)
PROOFS: Mapping[str, Sequence[Proof]] = {
    "github": (hub_signature_256,),
    "gitlab": (standard_webhooks, gitlab_token),
    "gitea": (gitea_signature, hub_signature_256),
    "bitbucket": (hub_signature,),
    "generic": GENERIC,
    "cloudevents": (standard_webhooks, bearer),
}
"""Sender -> the proofs that count."""
