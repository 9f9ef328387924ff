"""The command line. Data goes to stdout, progress to stderr, and scripts can rely on the exit codes."""

import sys
from importlib.metadata import version
from typing import Annotated

import grpc
import typer

from headgate.cli import (
    access,
    aliases,
    certificates,
    console,
    doctor,
    edge,
    encryption,
    evaluation,
    event,
    explain,
    freezes,
    gateways,
    histories,
    init,
    keys,
    login,
    logs,
    model_changes,
    models,
    predict,
    prediction_log,
    publish,
    releases,
    replay,
    repositories,
    repository,
    tokens,
    topics,
    up,
    version_attestations,
    version_bom,
    version_changes,
    version_download,
    version_import,
    version_logs,
    view,
)
from headgate.cli.exit_codes import Exit, code_of_call, code_of_file, code_of_log, table
from headgate.cli.printing import report, show
from headgate.cli.session import (
    CLI_WAIT_SECONDS,
    Actor,
    CommandFailed,
    new_session,
    session,
    token_of,
    token_of_login,
    usage,
)
from headgate.cli.times import wait_seconds
from headgate.client.change_fields import ChangeFields
from headgate.client.errors import failure
from headgate.client.tls import ClientTlsUnusable, client_tls
from headgate.domain.printable import with_short_words
from headgate.log.port import AddressInvalid, LogError, TopicMismatch
from headgate.runtime.interrupts import INTERRUPTED

HELP = f"""Take a model from a commit to live traffic, and back when the evidence is against it.

\b
Exit codes, the same for the same cause in every command:
{table()}
A service that is started by itself ends with 78 when a setting is wrong.

Without addresses, a command uses the services that `headgate up` runs in this folder."""

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)


LogWait = Annotated[
    float,
    typer.Option(envvar="HEADGATE_LOG_WAIT_SECONDS", callback=wait_seconds, help="How long to wait for the log."),
]
TokenFile = Annotated[
    str,
    typer.Option(envvar="HEADGATE_TOKEN_FILE", help="The file of your token; by default that of headgate up or login."),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        show(f"headgate {version('headgate')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
    registry: Annotated[str, typer.Option(envvar="HEADGATE_REGISTRY", help="host:port of the registry.")] = "",
    gateway: Annotated[str, typer.Option(envvar="HEADGATE_GATEWAY", help="host:port of the gateway.")] = "",
    trainer: Annotated[str, typer.Option(envvar="HEADGATE_TRAINER", help="host:port of the trainer.")] = "",
    evaluator: Annotated[str, typer.Option(envvar="HEADGATE_EVALUATOR", help="host:port of the evaluator.")] = "",
    deployer: Annotated[str, typer.Option(envvar="HEADGATE_DEPLOYER", help="host:port of the deployer.")] = "",
    log: Annotated[
        str, typer.Option(envvar="HEADGATE_LOG", help="The log: sqlite:///path, kafka://host:port or file:path.")
    ] = "",
    log_wait_seconds: LogWait = CLI_WAIT_SECONDS,
    actor: Actor = "",
    request_id: Annotated[
        str, typer.Option(help="The id of a change. The same id again gets the first answer and changes nothing.")
    ] = "",
    etag: Annotated[str, typer.Option(help="Change only what still has this etag, as -o json shows it.")] = "",
    tls_ca: Annotated[
        str, typer.Option(envvar="HEADGATE_TLS_CA", help="Call all services with TLS; the file of their authority.")
    ] = "",
    tls_client_certificate: Annotated[
        str,
        typer.Option(envvar="HEADGATE_TLS_CLIENT_CERTIFICATE", help="Your certificate, where services ask for one."),
    ] = "",
    tls_client_key: Annotated[
        str, typer.Option(envvar="HEADGATE_TLS_CLIENT_KEY", help="The key of your certificate.")
    ] = "",
    token_file: TokenFile = "",
) -> None:
    addresses = {
        "registry": registry,
        "gateway": gateway,
        "trainer": trainer,
        "evaluator": evaluator,
        "deployer": deployer,
    }
    fields = ChangeFields(request_id, etag)
    context.call_on_close(lambda: _report_unused(fields))
    try:
        tls = client_tls(tls_ca, tls_client_certificate, tls_client_key)
    except ClientTlsUnusable as error:
        usage(f"--tls-ca and --tls-client-*: {error}")
    token = token_of(token_file)
    # Whoever logs in again may have a login that has ended.
    of_login = str if context.invoked_subcommand in ("login", "logout") else token_of_login
    context.obj = new_session(addresses, log, log_wait_seconds, actor, fields, tls, token, of_login)


def _report_unused(fields: ChangeFields) -> None:
    for name in fields.unused():
        report(f"warning: --{name.replace('_', '-')} had no effect: this command changed nothing that has one")


@app.command("up")
def start_all(
    context: typer.Context,
    base_port: Annotated[
        int, typer.Option(min=0, max=65_000, help="The registry's port; the others follow it. 0 picks free ports.")
    ] = 7400,
    log: Annotated[str, typer.Option(envvar="HEADGATE_LOG", help="Use this log instead of the embedded one.")] = "",
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Without TLS and tokens: every user and program of this machine may read and do everything.",
        ),
    ] = False,
) -> None:
    """Start all services on this machine, with their data in .headgate/, and keep them running until Ctrl-C.

    Every port speaks TLS, by certificates in .headgate/keys, and asks for a token. Yours is in .headgate/token.
    """
    named = context.parent.params if context.parent else {}
    current = session(context)
    # Without --tls-ca the session has those of an earlier `headgate up` here, which are not for this one.
    callers_tls = current.stubs.tls if named.get("tls_ca") else None
    up.run_up(log or named.get("log", ""), base_port, current.log_wait_seconds, callers_tls, insecure)


app.command("init")(init.init)
app.command("check")(repository.check)
app.add_typer(repository.data, name="data")
app.add_typer(repositories.repository, name="repository")
app.command("publish")(publish.publish)
app.add_typer(event.event, name="event")
app.command("predict")(predict.predict)
app.command("replay")(replay.replay)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.command("edge")(edge.run_edge)
app.command("console")(console.show_console)
models.model.command("create")(model_changes.create_model)
models.model.command("update")(model_changes.update_model)
models.model.command("history")(histories.model_history)
models.model.command("watch-all")(histories.watch_models)
app.add_typer(models.model, name="model")
models.version.command("create")(version_changes.create_version)
models.version.command("tag")(version_changes.tag_version)
models.version.command("quarantine")(version_changes.quarantine_version)
models.version.command("lift-quarantine")(version_changes.lift_quarantine)
models.version.command("cancel")(version_changes.cancel_version)
models.version.command("archive")(version_changes.archive_version)
models.version.command("purge")(version_changes.purge_version)
models.version.command("watch-all")(histories.watch_versions)
models.version.command("evaluate")(evaluation.evaluate_version)
models.version.command("logs")(version_logs.show_logs)
models.version.command("import")(version_import.import_version)
models.version.command("download")(version_download.download_version)
models.version.command("attestations")(version_attestations.show_attestations)
models.version.command("bom")(version_bom.show_bom)
app.add_typer(models.version, name="version")
app.add_typer(aliases.alias, name="alias")
app.add_typer(releases.release, name="release")
releases.environment.command("create")(model_changes.create_environment)
releases.environment.command("history")(histories.environment_history)
app.add_typer(releases.environment, name="environment")
app.add_typer(freezes.freeze, name="freeze")
app.add_typer(gateways.gateway, name="gateway")
app.add_typer(prediction_log.prediction, name="prediction")
app.add_typer(logs.log, name="log")
app.add_typer(keys.keys, name="keys")
app.add_typer(encryption.encryption, name="encryption")
app.command("login")(login.login)
app.command("logout")(login.logout)
app.add_typer(access.access, name="access")
app.add_typer(tokens.token, name="token")
app.add_typer(certificates.certificates, name="certificates")
app.add_typer(topics.topics, name="topics")
app.add_typer(view.view, name="view")


def main() -> None:
    """Runs the command line. Every failure becomes one sentence and an exit code."""
    try:
        app()
    except CommandFailed as error:
        _fail(str(error), error.code)
    except TopicMismatch as error:
        _fail("\n  ".join(("the topics differ from the declared ones:", *error.differences)), code_of_log(error))
    except AddressInvalid as error:
        _fail(f"--log: {error}", code_of_log(error))
    except LogError as error:
        _fail(f"the log: {error}", code_of_log(error))
    except grpc.RpcError as error:
        failed = failure(error)
        _fail(str(failed), code_of_call(failed))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}", code_of_file(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _fail(message: str, code: Exit) -> None:
    report(f"headgate: {with_short_words(message)}")
    sys.exit(code)
