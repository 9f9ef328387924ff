"""The token of a folder: who may read it is the first administrator of the services that `headgate up` runs there."""

import secrets
from contextlib import suppress
from pathlib import Path

import grpc

from headgate.access.secret import SECRET, new_secret
from headgate.cli.session import KEYS, TOKEN, CommandFailed
from headgate.client.bearer import TokenUnusable, read_token
from headgate.client.recognition import recognition
from headgate.client.stubs import Stubs
from headgate.client.tls import ClientTls
from headgate.shared_files import replace_file

CURL = Path(KEYS) / "curl"
"""Among the keys, which the trainer hides from the code of commits."""


class OwnToken:
    """The secret in .headgate/token, and the file by which curl sends it."""

    def __init__(self, home: Path) -> None:
        self.file, self.curl_file = home / TOKEN, home / CURL

    def refresh(self, tls: ClientTls) -> None:
        """Makes the secret when there is none, and writes what curl reads. Raises CommandFailed."""
        if not self.file.exists():
            with suppress(PermissionError):  # the folder is somebody else's
                self.file.parent.chmod(0o700)  # an older version left the log in it open to everybody
            replace_file(self.file, f"{new_secret(secrets.token_bytes)}\n".encode())
        replace_file(self.curl_file, _curl(tls.ca.absolute(), self.secret()).encode())

    def environ(self) -> dict[str, str]:
        """The settings by which the services ask for tokens, and the registry learns the digest of this one.

        A token of somebody else's making, as that of an identity provider, gets its roles elsewhere.
        """
        own = SECRET.fullmatch(self.secret())
        return {"HEADGATE_AUTHENTICATION_FIRST_TOKEN": str(self.file)} if own else {}

    def problem(self, registry: str, tls: ClientTls) -> str:
        """Why the registry does not take the token; empty when it does, or when it does not answer."""
        with Stubs(registry, "", tls=tls, token=self.secret()) as stubs:
            if recognition(stubs) is grpc.StatusCode.UNAUTHENTICATED:
                return f"{self.file} holds no longer: delete it, and the next `headgate up` makes another one"
        return ""

    def secret(self) -> str:
        """The token. Raises CommandFailed."""
        try:
            return read_token(self.file)
        except TokenUnusable as error:
            raise CommandFailed(str(error)) from error


def _curl(ca: Path, secret: str) -> str:
    """A file of options for curl, which sends the token by https alone."""
    quoted = str(ca).replace("\\", "\\\\").replace('"', '\\"')
    return f'proto = "=https"\ncacert = "{quoted}"\nheader = "authorization: Bearer {secret}"\n'
