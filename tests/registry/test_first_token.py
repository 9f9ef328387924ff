"""The first administrator's token: a secret in a file makes it once, and gives all rights to who has the secret."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from headgate.access.secret import digest_of, new_secret
from headgate.client.stubs import Stubs
from headgate.domain.names import ACCESS_STREAM
from headgate.domain.state import AccessState
from headgate.lifecycle.stream import Stream, event_id
from headgate.runtime.settings import SettingsError
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import resources_pb2 as resources
from services.registry import app as registry
from services.registry.first_token import LIFETIME_MS, first_token
from services.registry.settings import Settings

SECRETS = [new_secret(lambda count, byte=byte: byte * count) for byte in (b"a", b"b")]  # type: ignore[misc]
DIGEST = digest_of(SECRETS[0])


def name_in(state: AccessState) -> str:
    command = first_token(Stream(ACCESS_STREAM, state), DIGEST, 5)
    assert command is not None
    assert command.create_token.expire_time_ms == 5 + LIFETIME_MS
    return command.create_token.token


def test_its_name_has_neither_a_token_nor_grants_from_before() -> None:
    assert name_in(AccessState("default")) == "administrator"
    held = AccessState("default", tokens={"administrator": resources.Token()})
    assert name_in(held) == "administrator-2"
    held.grants["g"] = resources.Grant(subject="token:administrator-2")
    assert name_in(held) == "administrator-3"


def test_a_secret_makes_one_token_whatever_became_of_it() -> None:
    stream = Stream(ACCESS_STREAM, AccessState("default"))
    stream.accepted[event_id(ACCESS_STREAM, f"first-token/{DIGEST}")] = 1
    assert first_token(stream, DIGEST, 5) is None


@contextmanager
def restarted(folder: Path, secret: str) -> Iterator[Stubs]:
    """A caller with this secret, of a registry that was started with it."""
    file = folder / "token"
    file.write_text(secret)
    log = f"sqlite://{folder}/log.db"
    running = registry.build(Settings(log=log, port=0, authentication=True, authentication_first_token=file))
    try:
        with Stubs(f"127.0.0.1:{running.start()}", "", token=secret) as stubs:
            yield stubs
    finally:
        running.stop(5)


def names(stubs: Stubs) -> list[str]:
    return [each.token for each in stubs.access.ListTokens(access_service.ListTokensRequest()).tokens]


def test_who_has_the_secret_may_do_everything_until_it_is_revoked_and_another_secret_begins_anew(
    tmp_path: Path,
) -> None:
    with restarted(tmp_path, SECRETS[0]) as stubs:
        assert names(stubs) == ["administrator"]
    with restarted(tmp_path, SECRETS[0]) as stubs:
        assert names(stubs) == ["administrator"]
        stubs.access.RevokeToken(access_service.RevokeTokenRequest(token="administrator"))
    with restarted(tmp_path, SECRETS[0]) as stubs, pytest.raises(grpc.RpcError) as refused:
        names(stubs)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]
    with restarted(tmp_path, SECRETS[1]) as stubs:
        assert names(stubs) == ["administrator"]


@pytest.mark.parametrize("content", [None, "two words", "hgt_short", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"])
def test_a_file_without_such_a_secret_ends_the_start(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(SettingsError, match="HEADGATE_AUTHENTICATION_FIRST_TOKEN: "):
        registry.build(Settings(log=f"sqlite://{tmp_path}/log.db", authentication_first_token=tmp_path / "token"))
