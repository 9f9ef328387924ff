"""An identity provider for tests: its keys, and the tokens that it signs, good ones and bad ones."""

import base64
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOW_MS = 1_760_000_000_000
NOW = NOW_MS // 1000
ISSUER, AUDIENCE = "https://issuer.example.com", "headgate"


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """A key with this name; making one takes a tenth of a second."""
    return rsa.generate_private_key(65_537, 2_048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(name: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, key_id: str, **more: object) -> dict[str, object]:
    """The public half of a key, as a JWKS has it."""
    algorithm = {rsa.RSAPrivateKey: "RSAAlgorithm", ec.EllipticCurvePrivateKey: "ECAlgorithm"}
    name = next((name for kind, name in algorithm.items() if isinstance(key, kind)), "OKPAlgorithm")
    values = json.loads(getattr(jwt.algorithms, name).to_jwk(key.public_key()))
    values.pop("key_ops", None)
    return {**values, "kid": key_id, "use": "sig", **more}


def jwks(*keys: dict[str, object]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def public_pem(key: Any) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(encoding, form))


def claims(**changed: object) -> dict[str, object]:
    """The claims of a good token. A claim that is changed to None is left out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada@example.com", "nbf": NOW - 10, "exp": NOW + 600}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def token(key: Any = None, key_id: str = "k1", algorithm: str = "RS256", headers: Any = None, **changed: object) -> str:
    """A token of the provider, or one that is wrong in what was changed."""
    signer = rsa_key("k1") if key is None else key
    return jwt.encode(claims(**changed), signer, algorithm, headers={"kid": key_id, **(headers or {})})


def forged(header: dict[str, object], signature: bytes = b"") -> str:
    """A token with this header, which no library would make."""
    parts = [json.dumps(part).encode() for part in (header, claims())]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, signature))


def confused() -> str:
    """Signed by HMAC with the provider's public key as the secret, for a verifier that believes the header."""
    import hashlib
    import hmac

    header = {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    message = forged(header).rpartition(".")[0]
    signature = hmac.new(public_pem(rsa_key("k1")), message.encode(), hashlib.sha256).digest()
    return f"{message}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


BAD_TOKENS: dict[str, Any] = {
    "expired-token": lambda: token(exp=NOW - 61),
    "token-not-yet-valid": lambda: token(nbf=NOW + 90),
    "wrong-audience": lambda: token(aud="another"),
    "wrong-issuer": lambda: token(iss="https://evil.example.com"),
    "bad-signature": lambda: token(key=rsa_key("other")),
    "wrong-algorithm none": lambda: forged({"alg": "none", "kid": "k1"}),
    "wrong-algorithm HS256 with the public key": confused,
    "unknown-key": lambda: token(key_id="k9"),
    "unknown-key with a path": lambda: token(key_id="../../../../dev/null"),
    "unknown-key without an id": lambda: forged({"alg": "RS256"}),
    "unknown-key and a key in the header": lambda: token(
        key=rsa_key("other"), key_id="x", headers={"jwk": jwk(rsa_key("other"), "x"), "jku": "http://127.0.0.1:9/"}
    ),
    "missing-claim exp": lambda: token(exp=None),
    "missing-claim nbf": lambda: token(nbf=None),
    "missing-claim aud": lambda: token(aud=None),
    "missing-claim sub": lambda: token(sub=None),
    "malformed-token": lambda: "abc.def.ghi",
    "malformed-token time": lambda: token(exp=10**12),
    "bad-subject of a service": lambda: token(sub="spiffe://headgate/registry"),
    "bad-subject of a token": lambda: token(sub="token:ci"),
    "bad-subject of a topic": lambda: token(sub="topic:headgate.commands/deployer"),
    "bad-subject with spaces": lambda: token(sub="ada lovelace"),
    "bad-groups": lambda: token(groups="risk"),
    "bad-groups too many": lambda: token(groups=[f"g{n}" for n in range(201)]),
}
"""Why a token is refused, with a word on what is wrong with it -> such a token."""
