"""`headgate version evaluate` asks the evaluator to measure a version now."""

import typer

from headgate.cli import columns
from headgate.cli.models import VersionName
from headgate.cli.render import Format, Output, as_dict, pairs, show_data
from headgate.cli.session import numbered_version, session
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services

EVALUATE_SECONDS = 600.0
"""How long one measurement may take."""
SHOWN = ("METRICS", "SLICES")


def evaluate_version(context: typer.Context, name: VersionName, output: Output = Format.TABLE) -> None:
    """Measure a trained version on its held-out rows now. Nothing is recorded, and the gate decides nothing."""
    full = numbered_version(context, name)
    request = worker_services.EvaluateRequest(name=full)
    found = session(context).stubs.evaluator.Evaluate(request, timeout=EVALUATE_SECONDS)
    if output is not Format.TABLE:
        show_data(as_dict(found), output)
        return
    measured = resources.Version(name=full, report=found)
    page = {column.name: column.cell(measured) for column in columns.VERSION if column.name in SHOWN}
    pairs({"NAME": full, "ROWS": str(found.rows), "DURATION": f"{found.duration_ms / 1000:.1f} s", **page})
