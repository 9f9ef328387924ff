"""Grants, tokens and an identity provider for tests, and the ways to prove nothing to a server that asks them."""

import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor

from headgate.access.roles import Role
from headgate.access.secret import digest_of, new_secret
from headgate.domain.access import decide, evolve
from headgate.domain.names import ACCESS_STREAM
from headgate.domain.state import AccessState, ModelState
from headgate.lifecycle.folded_access import FoldedAccess
from headgate.runtime.authentication.authenticator import Authenticator
from headgate.runtime.authentication.signed_tokens import Provider, SignedTokens
from headgate.runtime.authentication.signing_keys import SigningKeys
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.rpc.call_check import CallCheck
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from services.gateway.callers import Callers
from services.gateway.served_access import ServedAccess
from tests.runtime.authentication.provider import AUDIENCE, BAD_TOKENS, ISSUER, NOW_MS, jwk, jwks, rsa_key, token
from tests.waiting import PATIENCE_SECONDS

ROOT = "root@example.com"
Header = list[tuple[str, str]]


class Granted:
    """The state that decides on calls, in place of a fold, with a clock and a provider that the test sets."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.access, self.models, self.now_ms = AccessState("default"), dict[str, ModelState](), NOW_MS
        self.monotonic, self.provider_is_away = 0.0, False
        self.provider_may_answer, self.reads = threading.Event(), 0
        self.provider_may_answer.set()
        self._listeners: list[Callable[[Any, facts.LifecycleRecord], None]] = []
        keys = SigningKeys("unused", lambda: self.monotonic, self._read_keys)
        self._signed = SignedTokens(keys, Provider(ISSUER, AUDIENCE), lambda: self.now_ms)

    def on_accepted(self, listener: Callable[[Any, facts.LifecycleRecord], None]) -> None:
        self._listeners.append(listener)

    def check(self, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic) -> CallCheck:
        """As the registry has it."""
        fold: Any = self
        known = FoldedAccess(fold, [ROOT], "production")
        return CallCheck(self._authenticator(known), known, metrics, monotonic)

    def callers(self, metrics: Metrics) -> Callers:
        """As a gateway has it."""
        access = ServedAccess(self, "production", [ROOT])
        access.begin()
        return Callers(CallCheck(self._authenticator(access), access, metrics), access)

    def _authenticator(self, known: FoldedAccess | ServedAccess) -> Authenticator:
        return Authenticator(known.token, lambda: self.now_ms, self._signed)

    def send(self, *sent: Any) -> None:
        """Decides commands on grants and tokens, and folds their facts."""
        for command in sent:
            with self.lock:
                fact: Any = decide(self.access, command, self.now_ms)
                record = facts.LifecycleRecord(stream=ACCESS_STREAM, sequence=self.access.sequence + 1)
                evolve(self.access, fact, record)
                self.tell(record)

    def tell(self, record: facts.LifecycleRecord) -> None:
        """Tells the listeners of a record that was folded."""
        with self.lock:
            for listener in self._listeners:
                listener(None, record)

    def grant(self, role: Role, subject: str = "ada@example.com", models: str = "*", deny: bool = False) -> str:
        """Gives a role, and returns the name of the grant."""
        name = f"{role.value}-{len(self.access.grants)}"
        number = facts.Role.Value(f"ROLE_{role.name}")
        self.send(
            commands.GrantRole(grant=name, subject=subject, role=number, models=models, environments="*", deny=deny)
        )
        return name

    def made_token(self, name: str, role: int = facts.ROLE_ADMINISTRATOR, models: str = "*") -> str:
        """The secret of a new token, which holds for a second."""
        secret = secret_of(name)
        self.send(
            commands.CreateToken(
                token=name,
                sha256=digest_of(secret),
                role=role,  # type: ignore[arg-type]
                models=models,
                environments="*",
                expire_time_ms=self.now_ms + 1_000,
            )
        )
        return secret

    def bad_headers(self) -> dict[str, Header]:
        """Every way to prove nothing."""
        expired, revoked = self.made_token("expired"), self.made_token("revoked")
        self.now_ms += 1_000
        self.send(commands.RevokeToken(token="revoked"))
        good = f"Bearer {token(sub=ROOT)}"
        return {
            "nothing": [],
            "another scheme": [("authorization", "Basic cm9vdDpyb290")],
            "no token": [("authorization", "Bearer")],
            "two headers": [("authorization", good), ("authorization", good)],
            "another header": [("x-authorization", good), ("x-actor", ROOT)],
            "an unknown token": bearer(new_secret(bytes)),
            "an expired token": bearer(expired),
            "a revoked token": bearer(revoked),
            **{why: bearer(make()) for why, make in BAD_TOKENS.items()},
        }

    def _read_keys(self, source: str) -> bytes:
        self.reads += 1
        assert self.provider_may_answer.wait(PATIENCE_SECONDS)
        if self.provider_is_away:
            raise OSError("the provider does not answer")
        return jwks(jwk(rsa_key("k1"), "k1"))


def secret_of(name: str) -> str:
    """The secret that `made_token` gives the token of this name."""
    return new_secret(lambda size: name.encode().ljust(size, b"x"))


def bearer(text: str) -> Header:
    return [("authorization", f"Bearer {text}")]


def called(
    channel: grpc.Channel, path: str, method: MethodDescriptor, header: Header | None = None, request: bytes = b""
) -> tuple[str, str]:
    """The status and the words with which a call ends."""
    make = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[method.client_streaming, method.server_streaming]
    sent = iter([request]) if method.client_streaming else request
    try:
        answer: Any = make(path)(sent, metadata=header or [], timeout=20)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        return error.code().name, error.details() or ""  # type: ignore[attr-defined]
    return "OK", ""
