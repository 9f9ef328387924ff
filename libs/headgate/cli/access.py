"""`headgate access` gives and takes roles, lists them, and explains why somebody may do something."""

import uuid
from enum import StrEnum
from typing import Annotated

import typer

from headgate.access.grants import project_bound
from headgate.access.roles import Action
from headgate.cli import columns
from headgate.cli.models import Reason
from headgate.cli.moments import At, past_ms
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, Wide, as_dict, show_data, show_list, show_one, show_sentence
from headgate.cli.session import CommandFailed, full_name, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.names import NAME_RULE, is_name
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import facts_pb2 as facts

HELP = """Who may do what: roles of people, groups and tokens, for models and environments.

A deny overrides every other grant, and takes only what its role adds: who is denied to publish may still read."""

NO_GRANTS = "No grants yet: `headgate access grant SUBJECT ROLE` makes one."
NO_SUCH_GRANT = "No grant is for this subject: `headgate access list` shows the others."

access = typer.Typer(help=HELP, no_args_is_help=True)

RoleWord = StrEnum(  # type: ignore[misc]  # the words come from the protos
    "RoleWord", {name.removeprefix("ROLE_"): name.removeprefix("ROLE_").lower() for name in facts.Role.keys()[1:]}
)
ActionWord = StrEnum("ActionWord", {action.name: action.value for action in Action})  # type: ignore[misc]

Models = Annotated[
    str, typer.Option("--models", help="A name, a prefix as in 'fraud-*', or a label as in team=risk. Without it all.")
]
Project = Annotated[
    str,
    typer.Option("--project", help="In place of --models: the models of a project; default for names without a dot."),
]
Environments = Annotated[
    str, typer.Option("--environments", help="A name, or a prefix as in 'prod-*'. Without it all.")
]


def models_bound(models: str, project: str) -> str:
    """The models of a grant or a token, from both options. Raises CommandFailed."""
    if not project:
        return models
    if models:
        usage("--project and --models: expected one of them")
    if not is_name(project):
        usage(f"--project {project}: {NAME_RULE}")
    return project_bound(project)


def role_number(role: RoleWord) -> facts.Role.ValueType:
    """The role in messages."""
    return facts.Role.Value(f"ROLE_{role.name}")


@access.command("grant")
def grant_role(
    context: typer.Context,
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="A name as it is proven, token:NAME, group:NAME, or anonymous.")
    ],
    role: Annotated[RoleWord, typer.Argument(help="What the subject may do.")],
    models: Models = "",
    project: Project = "",
    environments: Environments = "",
    deny: Annotated[bool, typer.Option("--deny", help="Take away what the role adds, whatever others grant.")] = False,
    name: Annotated[str, typer.Option(help="The name of the grant. Without it one is made of its terms.")] = "",
    reason: Reason = "",
    output: Output = Format.TABLE,
) -> None:
    """Give a role to a subject, or deny it."""
    request = access_service.GrantRoleRequest(
        grant=name,
        subject=subject,
        role=role_number(role),
        models=models_bound(models, project),
        environments=environments,
        deny=deny,
        reason=reason,
        request_id=str(uuid.uuid4()),
    )
    show_one(session(context).stubs.access.GrantRole(request, timeout=TIMEOUT_SECONDS), columns.GRANT, output)


@access.command("revoke")
def revoke_role(
    context: typer.Context,
    grant: Annotated[str, typer.Argument(metavar="GRANT", help="The name of the grant, as access list shows it.")],
    reason: Reason = "",
) -> None:
    """End a grant. What it denied is allowed again."""
    request = access_service.RevokeRoleRequest(grant=grant, reason=reason, request_id=str(uuid.uuid4()))
    session(context).stubs.access.RevokeRole(request, timeout=TIMEOUT_SECONDS)
    report(f"grant {grant} is revoked")


@access.command("list")
def list_grants(
    context: typer.Context,
    subject: Annotated[str, typer.Option(help="Only the grants to this subject.")] = "",
    at: At = "",
    output: Output = Format.TABLE,
    wide: Wide = False,
) -> None:
    """List the grants that hold."""
    request = access_service.ListGrantsRequest(subject=subject)
    found = session(context).stubs.access.ListGrants(request, timeout=TIMEOUT_SECONDS)
    show_list(found.grants, columns.GRANT, output, wide, NO_SUCH_GRANT if subject else NO_GRANTS)


@access.command("explain")
def explain_access(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="For example ada@example.com.")],
    action: Annotated[ActionWord, typer.Argument(metavar="ACTION", help="What the subject wants to do.")],
    resource: Annotated[
        str,
        typer.Argument(
            metavar="RESOURCE",
            help="fraud or models/fraud, fraud@production for a release, environments/production. Without it all.",
        ),
    ] = "",
    groups: Annotated[
        list[str] | None, typer.Option("--group", help="A group of the subject. May come several times.")
    ] = None,
    at: Annotated[
        str, typer.Option("--at", help="What held then: 2026-03-03T14:05, or 2h (ago). Without it, now.")
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Say why a subject may do something or not. The exit code is 0 when it may."""
    stubs = session(context).stubs
    is_full = not resource or resource.startswith(("models/", "environments/"))
    request = access_service.ExplainAccessRequest(
        subject=subject,
        groups=groups or [],
        action=action.value,
        resource=resource if is_full else full_name("models", resource),
        at_ms=past_ms(at, stubs.log_time.now_ms) if at else 0,
    )
    found = stubs.access.ExplainAccess(request, timeout=TIMEOUT_SECONDS)
    if output is not Format.TABLE:
        show_data(as_dict(found), output)
    elif found.allowed:
        show_sentence(found.explanation)
    if not found.allowed:
        raise CommandFailed(found.explanation)
