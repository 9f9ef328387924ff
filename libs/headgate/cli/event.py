"""`headgate event` appends a CloudEvent that another program wrote to the inbox."""

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.files import local_path, read_file
from headgate.cli.session import session, usage
from headgate.domain.credentials import CREDENTIALS_RULE, without_credentials
from headgate.log.envelope import MalformedEvent, decode
from headgate.log.port import Message, Record
from headgate.log.topics import INBOX

STRUCTURED = (("content-type", b"application/cloudevents+json"),)


def event(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(parser=local_path, metavar="FILE", help="A CloudEvent as JSON, in structured mode; - is stdin."),
    ],
) -> None:
    """Append a CloudEvent to the inbox and print its id. A second event with the same source and id does nothing."""
    value = read_file(file)
    try:
        found = decode(Record(INBOX, 0, 0, 0, b"", value, STRUCTURED))
    except MalformedEvent as error:
        usage(f"{file}: malformed-event: {error}")
    # Without the escapes of JSON, which could hide a URL.
    text = json.dumps(json.loads(value), ensure_ascii=False)
    if without_credentials(text) != text:
        usage(f"{file}: {CREDENTIALS_RULE}")
    key = found.attributes.get("partitionkey", found.source)
    with closing(session(context).open_log()) as log:
        log.append(Message(INBOX, key.encode(), value, STRUCTURED))
    print(found.id)
