"""What people change about a model and an environment by hand: make one, and describe it."""

import uuid
from typing import Annotated

import typer

from headgate.cli import columns
from headgate.cli.models import show_model
from headgate.cli.render import Format, Output, show_one
from headgate.cli.session import full_name, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service

Description = Annotated[str, typer.Option(help="What it is for, in a sentence.")]
Repository = Annotated[str, typer.Option(help="Its repository; an event that names no model is about this one.")]


def create_model(
    context: typer.Context,
    name: str,
    description: Description = "",
    repository: Repository = "",
    label: Annotated[list[str] | None, typer.Option("--label", help="KEY=VALUE. Repeatable.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Make a model without versions. Publishing makes the model too, when it does not exist."""
    request = registry_service.CreateModelRequest(
        model=name.removeprefix("models/"),
        description=description,
        repository=repository,
        labels=dict(_label(text) for text in label or ()),
        request_id=str(uuid.uuid4()),
    )
    show_one(session(context).stubs.registry.CreateModel(request, timeout=TIMEOUT_SECONDS), columns.MODEL, output)


def update_model(
    context: typer.Context,
    name: str,
    description: Annotated[str | None, typer.Option(help="The new description.")] = None,
    repository: Annotated[str | None, typer.Option(help="The new repository.")] = None,
    output: Output = Format.TABLE,
) -> None:
    """Change the description or the repository of a model. What is not given stays as it is."""
    if description is None and repository is None:
        usage("nothing to change: give --description or --repository")
    stub = session(context).stubs.registry
    found = stub.GetModel(registry_service.GetModelRequest(name=full_name("models", name)), timeout=TIMEOUT_SECONDS)
    request = registry_service.UpdateModelRequest(
        name=found.name,
        description=found.description if description is None else description,
        repository=found.repository if repository is None else repository,
        # A change that came between is not overwritten with what was read here.
        etag=found.etag,
        request_id=str(uuid.uuid4()),
    )
    show_model(session(context).stubs, stub.UpdateModel(request, timeout=TIMEOUT_SECONDS), output)


def create_environment(
    context: typer.Context, name: str, description: Description = "", output: Output = Format.TABLE
) -> None:
    """Make an environment before anything is released into it. Setting a policy makes it too."""
    request = release_service.CreateEnvironmentRequest(
        environment=name.removeprefix("environments/"), description=description, request_id=str(uuid.uuid4())
    )
    found = session(context).stubs.releases.CreateEnvironment(request, timeout=TIMEOUT_SECONDS)
    show_one(found, columns.ENVIRONMENT, output)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        usage(f"--label {text!r}: expected KEY=VALUE, for example team=risk")
    return key, value
