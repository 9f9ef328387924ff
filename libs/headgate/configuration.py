"""Reads and checks headgate.toml, the declaration of a model repository at a commit. Reports every problem in it."""

import hashlib
import json
import re
import shlex

from headgate.domain.credentials import hides_nothing
from headgate.domain.names import SHA256, is_model_name, is_name
from headgate.domain.repository import broken_data_rule
from headgate.evaluation_tables import METRICS, evaluate, gate
from headgate.network_table import network
from headgate.toml_tables import HIDDEN, Table, is_number, is_text, leaves_in, read
from headgate.v1 import configuration_pb2 as configuration

FILE_NAME = "headgate.toml"
MAX_BYTES = 64 * 1024
MAX_DATA_FILES = 64
MAX_EPOCHS = 100_000
MAX_BATCH_SIZE = 1_000_000
MAX_SEED = 2**63 - 1


TORCH, ONNX = "torch", "onnx"
"""What the repository's module makes: a network that Headgate trains and exports, or an ONNX file."""
DEFAULT_BATCH_SIZE = 1024
"""How many rows of an ONNX file that the repository builds run at once."""
LOSSES = ("mse", "cross_entropy", "bce", "bce_with_logits", "custom")
TASKS_OF_LOGITS = ("binary", "multilabel")
"""What bce_with_logits is for: its predictions become probabilities."""
WEIGHTED = {"binary": "two", "multiclass": "one for each class", "multilabel": "one for each label"}
"""The weights of classes that a task may have."""
BALANCED = "balanced"
MAX_CLASSES = 100_000
OPTIMIZERS = ("sgd", "adam", "adamw")
STRATEGIES = {
    "canary": configuration.STRATEGY_CANARY,
    "blue-green": configuration.STRATEGY_BLUE_GREEN,
    "direct": configuration.STRATEGY_DIRECT,
}
TABLES = ("model", "code", "data", "parameters", "train", "evaluate", "gate", "release", "network")

MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
A_COMMAND = (
    "one command, with each of &, |, ;, <, >, (, ), ` and line breaks in quotes: no shell runs it."
    " For several commands, name a script or write sh -c '...'"
)
QUOTED = re.compile(r"""\\.|'[^']*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
FOR_A_SHELL = re.compile(r"[&|;<>()`\r\n]")
A_NAME = "1 to 63 characters of a-z, 0-9, - and _, first a letter or digit"
A_MODEL_NAME = f"{A_NAME}; in a project PROJECT.NAME, with at most 63 characters in all"


def parse(text: bytes, imported: bool = False) -> configuration.ModelConfiguration:
    """The checked content of the file. Of an imported version, what its code and data are does not matter.

    Raises InvalidToml.
    """
    root = read(text, FILE_NAME, MAX_BYTES)
    parsed = configuration.ModelConfiguration(digest=hashlib.sha256(text).digest())
    model(root.table("model"), parsed)
    if imported:
        made_elsewhere(parsed)
    else:
        made_here(root, parsed)
    metrics_are_known = evaluate(root.table("evaluate"), parsed)
    gate(root.table("gate", optional=True), parsed, metrics_are_known)
    release(root.table("release", optional=True), parsed)
    network(root.table("network", optional=True), parsed, from_graph=parsed.code.kind == ONNX)
    parsed.parameters_json = parameters(root.table("parameters", optional=True))
    root.no_more(TABLES)
    root.refuse_problems()
    return parsed


def publication(text: bytes) -> tuple[str, str]:
    """The file's model, and the environment into which it asks to be released; empty when it asks for none.

    Whether the rest is right is the trainer's question. Raises InvalidToml.
    """
    root = read(text, FILE_NAME, MAX_BYTES)
    name = root.table("model").value("name", A_MODEL_NAME, lambda value: is_text(value) and is_model_name(value))
    root.refuse_problems()
    asked = root.values.get("release")
    environment = asked.get("environment") if isinstance(asked, dict) else None
    return str(name), str(environment) if is_text(environment) and is_name(str(environment)) else ""


def made_here(root: Table, into: configuration.ModelConfiguration) -> None:
    code(root.table("code"), into.code)
    data(root.table("data", optional=True), into)
    if into.code.kind == ONNX:
        train_onnx(root.table("train", optional=True), into.train)
    else:
        train(root.table("train"), into.task, into.train)


def made_elsewhere(into: configuration.ModelConfiguration) -> None:
    """Code, data and training of an imported version: there are none, but a file that runs in batches."""
    into.code.Clear()
    into.code.kind = ONNX
    del into.data[:]
    into.train.Clear()
    into.train.batch_size = DEFAULT_BATCH_SIZE


def model(table: Table, into: configuration.ModelConfiguration) -> None:
    into.model = table.value("name", A_MODEL_NAME, lambda value: is_text(value) and is_model_name(value)) or ""
    into.task = table.choice("task", METRICS) or ""
    table.no_more(("name", "task"))


def code(table: Table, into: configuration.CodeConfiguration) -> None:
    module = table.value(
        "module", "the name of a Python module", lambda value: is_text(value) and bool(MODULE.fullmatch(value))
    )
    into.module = module or ""
    into.tests = table.value("tests", A_COMMAND, is_command) or ""
    if "kind" in table.values and table.choice("kind", (TORCH, ONNX)) == ONNX:
        into.kind = ONNX
    table.no_more(("module", "tests", "kind"))


def data(table: Table, into: configuration.ModelConfiguration) -> None:
    if len(table.values) > MAX_DATA_FILES:
        table.wrong("*", f"at most {MAX_DATA_FILES} files", len(table.values))
        return
    for name in sorted(table.values):
        if not MODULE.fullmatch(name):
            table.wrong(name, "a name of letters, digits and _", name)
        if not isinstance(table.values[name], dict):
            table.wrong(name, 'a table such as { uri = "data/rows.csv", sha256 = "..." }', table.values[name])
            continue
        entry = table.table(name)
        uri = entry.text("uri")
        sha256 = entry.value("sha256", "64 hex digits", lambda value: is_text(value) and bool(SHA256.fullmatch(value)))
        if uri and hides_nothing(uri) and (rule := broken_data_rule(uri)):  # the others are named already
            entry.wrong("uri", rule, HIDDEN)
        entry.no_more(("uri", "sha256"))
        into.data.add(name=name, uri=uri or "", sha256=sha256 or "")


def train(table: Table, task: str, into: configuration.TrainConfiguration) -> None:
    into.loss = table.choice("loss", LOSSES) or ""
    into.optimizer = table.choice("optimizer", OPTIMIZERS) or ""
    into.learning_rate = table.value("learning_rate", "a number above 0", lambda v: is_number(v) and v > 0) or 0.0
    into.epochs = table.whole("epochs", 1, MAX_EPOCHS) or 0
    into.batch_size = table.whole("batch_size", 1, MAX_BATCH_SIZE) or 0
    into.seed = table.whole("seed", 0, MAX_SEED) or 0
    into.momentum = (
        table.value("momentum", "a number from 0 to below 1", lambda v: is_number(v) and 0 <= v < 1, 0) or 0.0
    )
    into.weight_decay = (
        table.value("weight_decay", "a number of at least 0", lambda v: is_number(v) and v >= 0, 0) or 0.0
    )
    if into.momentum and into.optimizer in ("adam", "adamw"):
        table.wrong("momentum", "no momentum with this optimizer", into.momentum)
    if into.loss == "bce_with_logits" and task and task not in TASKS_OF_LOGITS:
        table.wrong("loss", f"another loss, because this one is for the tasks {', '.join(TASKS_OF_LOGITS)}", into.loss)
    class_weights(table, task, into)
    known = ("loss", "optimizer", "learning_rate", "epochs", "batch_size", "seed", "momentum", "weight_decay")
    table.no_more((*known, "class_weights"))


def train_onnx(table: Table, into: configuration.TrainConfiguration) -> None:
    """What is left of [train] when the repository's own code trains: the seed, and how many rows are run at once."""
    into.batch_size = table.whole("batch_size", 1, MAX_BATCH_SIZE, DEFAULT_BATCH_SIZE) or 0
    into.seed = table.whole("seed", 0, MAX_SEED, 0) or 0
    table.no_more(("seed", "batch_size"))


def class_weights(table: Table, task: str, into: configuration.TrainConfiguration) -> None:
    if "class_weights" not in table.values or not task:
        return
    if task not in WEIGHTED or into.loss == "custom":
        found = f"the task {task}" if task not in WEIGHTED else "a loss of your own"
        table.wrong("class_weights", f"no weights with {found}", table.values["class_weights"])
        return
    expected = f'a list of numbers above 0, {WEIGHTED[task]}, or "{BALANCED}"'
    weights = table.value("class_weights", expected, lambda value: are_weights(value, task))
    if weights == BALANCED:
        into.balanced_class_weights = True
    else:
        into.class_weights.extend(weights or [])


def release(table: Table, into: configuration.ModelConfiguration) -> None:
    if not table.present:
        return
    into.release.environment = table.value("environment", A_NAME, lambda v: is_text(v) and is_name(v)) or ""
    into.release.strategy = STRATEGIES.get(
        table.choice("strategy", STRATEGIES) or "", configuration.STRATEGY_UNSPECIFIED
    )
    table.no_more(("environment", "strategy"))


def parameters(table: Table) -> str:
    """The table of free parameters as canonical JSON. Dates, nan and inf are not allowed, because JSON has none."""
    for key, value in leaves_in("", table.values):
        if not (isinstance(value, str | int) or is_number(value)):
            table.wrong(key, "a value that JSON has: no date, no time, no nan, no inf", value)
            return "{}"
    try:
        return json.dumps(table.values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        table.wrong_whole("tables with less nesting")
        return "{}"


def is_command(value: object) -> bool:
    """Whether the value is one command. No shell runs it, so what a shell would do must not be in it."""
    try:
        is_one = isinstance(value, str) and is_text(value) and len(shlex.split(value)) > 0
    except ValueError:
        return False
    return is_one and not FOR_A_SHELL.search(QUOTED.sub("", str(value).strip()))


def are_weights(value: object, task: str) -> bool:
    return value == BALANCED or (
        isinstance(value, list)
        and 0 < len(value) <= MAX_CLASSES
        and (task != "binary" or len(value) == 2)
        and all(is_number(weight) and weight > 0 for weight in value)
    )
