"""The facts of one stream, and the changes of all resources as they come."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import grpc
import typer

from headgate.cli import columns
from headgate.cli.models import ANY, Filter, list_of_models, list_of_versions, parent_name
from headgate.cli.moments import At
from headgate.cli.optional_fields import report_absent
from headgate.cli.printing import show, show_json, show_yaml
from headgate.cli.render import Columns, Format, Output, Wide, as_dict, show_rows
from headgate.cli.session import full_name, session
from headgate.client.errors import failure
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.client.timeline import describe
from headgate.client.watching import watch_through_restarts
from headgate.domain.names import in_words
from headgate.domain.printable import printable
from headgate.domain.words import time_text, word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.view.fields import Kind

DEFAULT_LINES = 50
NO_FACTS = (
    "No policy was set and no freeze declared for {}. What was released into it: `headgate release list -` shows it."
)
MAX_LINES = 10_000
PAGE_SIZE = 500
MAX_PAGES = MAX_LINES
"""The most pages of one history, whatever the registry says comes next. A page holds at least one fact."""

Lines = Annotated[int, typer.Option("-n", min=1, max=MAX_LINES, help="The newest N facts.")]


def model_history(
    context: typer.Context,
    name: str,
    lines: Lines = DEFAULT_LINES,
    wide: Wide = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List the accepted facts about a model, its versions and its releases, the newest last."""
    request = registry_service.GetModelRequest(name=full_name("models", name))
    found = session(context).stubs.registry.GetModel(request, timeout=TIMEOUT_SECONDS)
    _show_history(context, found.name, int(found.etag), lines, wide, output)


def environment_history(
    context: typer.Context,
    name: str,
    lines: Lines = DEFAULT_LINES,
    wide: Wide = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """List the accepted facts about an environment, the newest last."""
    request = release_service.GetEnvironmentRequest(name=full_name("environments", name))
    try:
        found = session(context).stubs.releases.GetEnvironment(request, timeout=TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if failure(error).code is not grpc.StatusCode.NOT_FOUND:
            raise
        show_rows([], output, wide, empty=NO_FACTS.format(in_words(request.name)))
        return
    _show_history(context, found.name, int(found.etag), lines, wide, output)


def _show_history(context: typer.Context, stream: str, head: int, lines: int, wide: bool, output: Format) -> None:
    """Prints the newest facts up to the head, whose sequence is the etag of the resource."""
    rows = [
        {
            "sequence": record.sequence,
            "time": time_text(record.occurred_at_ms),
            "actor": record.actor,
            "fact": describe(record) if output is Format.TABLE else as_dict(record),
        }
        for record in newest_facts(session(context).stubs.registry.ListHistory, stream, head, lines)
    ]
    show_rows(rows, output, wide, ranks={"actor": 1})


def newest_facts(
    call: Callable[..., registry_service.ListHistoryResponse], stream: str, head: int, lines: int
) -> list[facts.LifecycleRecord]:
    """The last `lines` accepted facts of the stream up to its head, the newest last. Raises grpc.RpcError."""
    found: list[facts.LifecycleRecord] = []
    after = max(0, head - lines)
    for _ in range(MAX_PAGES):
        request = registry_service.ListHistoryRequest(
            stream=stream, after_sequence=after, page_size=min(PAGE_SIZE, lines - len(found))
        )
        page = call(request, timeout=TIMEOUT_SECONDS)
        found.extend(each.record for each in page.records)
        after = page.next_after_sequence
        if not after or len(found) >= lines:
            break
    return found


def watch_models(context: typer.Context, filter_: Filter = "", output: Output = Format.TABLE) -> None:
    """Print the models that match, then each change, until Ctrl-C."""
    stub, request = session(context).stubs.registry, registry_service.WatchModelsRequest(filter=filter_)
    report_absent(Kind.MODEL, filter_, lambda wanted: bool(list_of_models(stub, wanted, "", 1)[0]))
    _print_changes(lambda: stub.WatchModels(request), "model", columns.MODEL, output)


def watch_versions(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="A model; - is all models.")] = ANY,
    filter_: Filter = "",
    output: Output = Format.TABLE,
) -> None:
    """Print the versions that match, then each change, until Ctrl-C."""
    request = registry_service.WatchVersionsRequest(parent=parent_name(model), filter=filter_)
    stub, parent = session(context).stubs.registry, request.parent
    report_absent(Kind.VERSION, filter_, lambda wanted: bool(list_of_versions(stub, parent, wanted, "", 1)[0]))
    _print_changes(lambda: stub.WatchVersions(request), "version", columns.FOUND_VERSIONS, output)


def _print_changes(watch: Callable[[], Iterator[Any]], field: str, shown: Columns, output: Format) -> None:
    """Prints each change once. A watch that had to begin again sends what it sent before."""
    known: dict[str, bytes] = {}
    for response in watch_through_restarts(watch):
        resource = getattr(response, field)
        if not resource.name:  # everything that matched at the start has been sent
            continue
        content = resource.SerializeToString(deterministic=True)
        change = word_of(registry_service.ResourceChange, response.change)
        if known.get(resource.name) != content or change == "left":
            _show_change(change, field, resource, shown, output)
        known[resource.name] = content


def _show_change(change: str, field: str, resource: Any, shown: Columns, output: Format) -> None:
    data = {"change": change, field: as_dict(resource)}
    if output is Format.JSON:
        show_json(data)
    elif output is Format.YAML:
        show("---")
        show_yaml(data)
    else:
        cells = (printable(column.cell(resource)) for column in shown)
        show("  ".join([change.ljust(len("present")), *filter(None, cells)]))
