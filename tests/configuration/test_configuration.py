"""headgate.toml is either read as a whole, or refused with every problem in it."""

import hashlib
import json
import re

import pytest

from headgate.configuration import MAX_BYTES, parse
from headgate.evaluation_tables import ALL_METRICS, RANGES
from headgate.toml_tables import InvalidToml
from headgate.v1 import configuration_pb2 as configuration

SHA = "a" * 64
WHOLE = f"""
[model]
name = "fraud"
task = "binary"
[code]
module = "model"
tests = "python -m pytest -q"
[data]
transactions = {{ uri = "data/transactions.csv", sha256 = "{SHA}" }}
[parameters]
hidden = 16
[train]
loss = "mse"
optimizer = "sgd"
learning_rate = 0.05
epochs = 100
batch_size = 32
seed = 7
momentum = 0.9
[evaluate]
metrics = ["accuracy", "recall"]
[gate]
accuracy = {{ min = 0.98 }}
recall = {{ min = 0.92, max_drop = 0.01 }}
approvals = 1
[release]
environment = "production"
strategy = "blue-green"
"""


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidToml) as caught:
        parse(text.encode())
    return caught.value.problems


def test_a_complete_file_becomes_the_recorded_configuration() -> None:
    parsed = parse(WHOLE.encode())
    assert (parsed.model, parsed.task, parsed.code.module) == ("fraud", "binary", "model")
    assert parsed.data[0] == configuration.DataFile(name="transactions", uri="data/transactions.csv", sha256=SHA)
    assert (parsed.train.epochs, parsed.train.momentum, parsed.train.weight_decay) == (100, 0.9, 0.0)
    assert parsed.evaluate.threshold == 0.5
    assert json.loads(parsed.parameters_json) == {"hidden": 16}
    assert parsed.digest == hashlib.sha256(WHOLE.encode()).digest()


@pytest.mark.parametrize(("line", "threshold"), [("", 0.5), ("threshold = 0", 0.0), ("threshold = 1.0", 1.0)])
def test_a_threshold_of_0_is_recorded_as_0(line: str, threshold: float) -> None:
    text = WHOLE.replace("[evaluate]", f"[evaluate]\n{line}")
    recorded = configuration.ModelConfiguration.FromString(parse(text.encode()).SerializeToString()).evaluate
    assert (recorded.HasField("threshold"), recorded.threshold) == (True, threshold)


@pytest.mark.parametrize(
    "command",
    [
        "python check.py && python -m pytest -q",
        "python check.py; python -m pytest -q",
        "python check.py;python -m pytest",
        "python check.py || true",
        "python -m pytest | tee log",
        "python -m pytest > log 2>&1",
        "python -m pytest < input",
        "python -m pytest &",
        "echo $(python -m pytest)",
        "echo `python -m pytest`",
        "(python -m pytest)",
        "python check.py\npython -m pytest",
        "python -m pytest -k 'one' ; exit 4",
        """sh -c 'one' && sh -c "two\\"" """,
    ],
)
def test_tests_that_need_a_shell_are_refused_because_none_runs_them(command: str) -> None:
    text = WHOLE.replace('tests = "python -m pytest -q"', f"tests = {json.dumps(command)}")
    with pytest.raises(InvalidToml, match=r"code\.tests: expected one command"):
        parse(text.encode())


@pytest.mark.parametrize(
    "command",
    [
        "python -m pytest -q",
        "sh -c 'python check.py && python -m pytest -q'",
        'bash -c "python check.py; python -m pytest | tee log"',
        "python -m pytest -k 'one and (two or three)'",
        "python -c 'print(1 > 0)'",
        r"grep a\|b notes.txt",
        "python -m pytest -q\n",
    ],
)
def test_tests_are_one_command_with_whatever_it_is_given_in_quotes(command: str) -> None:
    text = WHOLE.replace('tests = "python -m pytest -q"', f"tests = {json.dumps(command)}")
    assert parse(text.encode()).code.tests == command


def test_a_given_zero_is_recorded_as_zero() -> None:
    text = WHOLE.replace("seed = 7", "seed = 0").replace("momentum = 0.9", "momentum = 0.0\nweight_decay = 0.0")
    text = text.replace("{ min = 0.92, max_drop = 0.01 }", "{ min = 0.0, max = 0.0, max_drop = 0.0 }")
    parsed = parse(text.encode())
    assert (parsed.train.seed, parsed.train.momentum, parsed.train.weight_decay) == (0, 0.0, 0.0)
    rule = parsed.gate.rules[1]
    assert [rule.HasField(bound) for bound in ("min", "max", "max_drop")] == [True, True, True]


def test_every_metric_has_the_range_of_its_values() -> None:
    assert set(RANGES) == set(ALL_METRICS)


def test_a_missing_bound_is_absent_and_not_zero() -> None:
    accuracy, recall = parse(WHOLE.encode()).gate.rules
    assert (accuracy.metric, accuracy.min, accuracy.HasField("max_drop")) == ("accuracy", 0.98, False)
    assert (recall.min, recall.max_drop, recall.HasField("max")) == (0.92, 0.01, False)


def test_a_file_without_a_release_table_declares_no_release() -> None:
    parsed = parse(WHOLE.partition("[release]")[0].encode())
    assert not parsed.HasField("release")


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('name = "fraud"', 'name = "Fraud!"', "model.name: expected 1 to 63 characters of"),
        (
            'task = "binary"',
            'task = "poetry"',
            "model.task: expected one of binary, multiclass, multilabel, regression, ranking, custom, got 'poetry'",
        ),
        ('module = "model"', 'module = "../model"', "code.module: expected the name of a Python module"),
        ('tests = "python -m pytest -q"', 'tests = "echo \'"', "code.tests: expected one command"),
        (
            'loss = "mse"',
            'loss = "vibes"',
            "train.loss: expected one of mse, cross_entropy, bce, bce_with_logits, custom, got",
        ),
        (
            'optimizer = "sgd"',
            'optimizer = "adam"',
            "train.momentum: expected no momentum with this optimizer, got 0.9",
        ),
        ("epochs = 100", "epochs = 0", "train.epochs: expected a whole number from 1 to 100000, got 0"),
        ("epochs = 100", "epochs = true", "train.epochs: expected a whole number from 1 to 100000, got true"),
        ("learning_rate = 0.05", "learning_rate = nan", "train.learning_rate: expected a number above 0, got nan"),
        ("seed = 7", "", "train.seed: expected a whole number from 0 to 9223372036854775807, but it is missing"),
        ("seed = 7", "seed = 7\nsead = 8", "train.sead: expected one of the keys loss"),
        (
            "data/transactions.csv",
            "https://reader:t0ken@data.example/transactions.csv",
            "data.transactions.uri: expected a text without a password, a token or a user name in a URL",
        ),
        (
            "data/transactions.csv",
            "ftp://data.example/transactions.csv",
            "data.transactions.uri: expected a path in the repository, or a URL with a host or bucket",
        ),
        (SHA, "abc", "data.transactions.sha256: expected 64 hex digits, got 'abc'"),
        ('["accuracy", "recall"]', '["accuracy", "mae"]', "evaluate.metrics: expected a list of accuracy"),
        ("accuracy = { min = 0.98 }", "f1 = { min = 0.98 }", "gate.f1: expected a metric that evaluate.metrics lists"),
        ("accuracy = { min = 0.98 }", "accuracy = { least = 1 }", "gate.accuracy.least: expected one of the keys min"),
        ("accuracy = { min = 0.98 }", "accuracy = 0.98", "gate.accuracy: expected a table, got 0.98"),
        ("min = 0.98", "min = 2", "gate.accuracy.min: expected at most 1, because accuracy is never higher, got 2.0"),
        ("min = 0.98", "max = -0.1", "gate.accuracy.max: expected at least 0, because accuracy is never lower"),
        ("min = 0.98", "min = 0.9, max = 0.1", "gate.accuracy.min: expected at most the max, 0.1, got 0.9"),
        ("max_drop = 0.01", "max_drop = -1", "gate.recall.max_drop: expected a number of at least 0, got -1"),
        ("approvals = 1", "approvals = -1", "gate.approvals: expected a whole number from 0 to 10, got -1"),
        ('"blue-green"', '"yolo"', "release.strategy: expected one of canary, blue-green, direct, got 'yolo'"),
        ('"blue-green"', '"shadow"', "release.strategy: expected one of canary, blue-green, direct, got 'shadow'"),
        ("hidden = 16", "hidden = 2020-01-01", "parameters.hidden: expected a value that JSON has"),
        ("hidden = 16", f"hidden{'.a' * 2_000} = 1", "parameters: expected tables with less nesting"),
        ('name = "fraud"', f"name{'.a' * 2_000} = 1", "model.name: expected 1 to 63 characters of"),
        (
            "learning_rate = 0.05",
            f"learning_rate = 1{'0' * 400}",
            "train.learning_rate: expected a number above 0, got 1",
        ),
        ("[gate]", "[gates]", "gates: expected one of the keys model"),
    ],
)
def test_a_wrong_value_is_one_problem_with_the_expected_value(before: str, after: str, problem: str) -> None:
    assert before in WHOLE
    text = WHOLE.replace(before, after, 1)
    (found,) = problems(text)
    assert found.startswith(problem)
    line = re.search(r"(?:\(line|table of line) (\d+)\)?$", found)
    assert line is not None
    keys = found.partition(":")[0].split(".")
    assert any(key in text.splitlines()[int(line[1]) - 1] for key in keys)


def test_all_problems_are_reported_at_once() -> None:
    found = problems(WHOLE.replace("seed = 7", "").replace('"mse"', "1").replace('"production"', '"?"'))
    assert [line.partition(":")[0] for line in found] == ["train.loss", "train.seed", "release.environment"]


def test_an_empty_file_is_refused_with_the_missing_tables() -> None:
    assert problems("") == [
        f"{table}: expected a table, but it is missing" for table in ("model", "code", "train", "evaluate")
    ]


@pytest.mark.parametrize(
    "text", ["[model", "\0", "x" * (MAX_BYTES + 1), "a = " + "[" * 30_000, f"a{'.a' * 30_000} = 1"]
)
def test_a_file_that_is_not_toml_is_refused_with_one_problem(text: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("headgate.toml: expected")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb =\n", "at line 2, column 4"),
        ("a = 1\nb = [1,\n\n", "at line 2, the end of the file"),
        ("a = 1\n[model\n", "at line 2, column 7"),
        ('a = """\nx', "at line 2, the end of the file"),
        ("a = 1\nb = " + "1" * 5_000, "at most 4300 digits (at line 2)"),
    ],
)
def test_a_fault_of_syntax_names_its_line(text: str, line: str) -> None:
    (problem,) = problems(text)
    assert line in problem


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("loss = [true, 'a', { b = false }]", "got [true, 'a', { b = false }]"),
        ("loss = 2020-01-01", "got 2020-01-01"),
        ("loss = { a = { b = {} } }", "got { a = { b = {} } }"),
    ],
)
def test_a_value_is_shown_as_its_author_wrote_it(line: str, shown: str) -> None:
    (found,) = (each for each in problems(WHOLE.replace('loss = "mse"', line)) if each.startswith("train.loss"))
    assert shown in found


def test_a_parameter_that_json_does_not_have_is_named() -> None:
    (found,) = problems(WHOLE.replace("hidden = 16", "hidden = 16\ndeep = [1, { at = 2020-01-01 }]"))
    assert found.startswith("parameters.deep.at: expected a value that JSON has: no date, no time, no nan, no inf")
    assert "got 2020-01-01 (line " in found


def test_bytes_that_are_not_text_are_refused() -> None:
    with pytest.raises(InvalidToml):
        parse(b"\xff\xfe")


SLICED = WHOLE.replace(
    "[gate]",
    "confidence = 0.9\n[evaluate.slices]\nnorth = { column = 2, equals = 1 }\n"
    "large = { input = 'x', column = 0, min = 5 }\n"
    "[gate]",
).replace("[release]", "[gate.slices.north]\nrecall = { min = 0.5, interval = true }\n[release]")


def test_slices_and_rules_about_them_are_recorded() -> None:
    parsed = parse(SLICED.encode())
    assert parsed.evaluate.confidence == 0.9
    assert list(parsed.evaluate.slices) == [
        configuration.Slice(name="north", column=2, equals=1),
        configuration.Slice(name="large", input="x", column=0, min=5),
    ]
    assert parsed.gate.rules[-1] == configuration.GateRule(metric="recall", slice="north", min=0.5, interval=True)
    assert [(rule.slice, rule.interval) for rule in parsed.gate.rules[:-1]] == [("", False), ("", False)]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("confidence = 0.9", "confidence = 95", "evaluate.confidence: expected a number from 0.5 to 0.9999, got 95"),
        ("column = 2, equals = 1", "column = 2", "evaluate.slices.north.*: expected equals, min or max"),
        ("column = 2, equals = 1", "equals = 1", "evaluate.slices.north.column: expected a whole number"),
        ("column = 2, equals = 1", "column = 2, is = 1, min = 1", "evaluate.slices.north.is: expected one of the keys"),
        ("[gate.slices.north]", "[gate.slices.south]", "gate.slices.south: expected a slice of evaluate.slices"),
        ("recall = { min = 0.5,", "f1 = { min = 0.5,", "gate.slices.north.f1: expected a metric that evaluate.metrics"),
        (
            "{ min = 0.5, interval = true }",
            "{ interval = true }",
            "gate.slices.north.recall.interval: expected min or max",
        ),
        ("interval = true", "interval = 1", "gate.slices.north.recall.interval: expected true or false, got 1"),
    ],
)
def test_a_wrong_slice_is_one_problem(before: str, after: str, problem: str) -> None:
    assert before in SLICED
    (found,) = problems(SLICED.replace(before, after, 1))
    assert found.startswith(problem)


def test_ranked_rows_have_no_slices() -> None:
    text = SLICED.replace('task = "binary"', 'task = "ranking"').replace('["accuracy", "recall"]', '["ndcg"]')
    assert any(
        each.startswith("evaluate.slices.*: expected no slices with the task ranking") for each in problems(text)
    )


NETWORK = """
[network]
outputs = ["price", "sold"]
measured = "price"
[network.dimensions]
tokens = ["batch", "length", 3]
"""


def test_a_network_may_name_its_outputs_and_the_dimensions_that_vary() -> None:
    network = parse((WHOLE + NETWORK).encode()).network
    assert (list(network.outputs), network.measured) == (["price", "sold"], "price")
    assert network.dimensions[0] == configuration.TensorDimensions(input="tokens", sizes=["batch", "length", "3"])
    assert not parse(WHOLE.encode()).HasField("network")


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ('["price", "sold"]', '["price", "price"]', "network.outputs: expected a list of up to 64 names of letters"),
        ('["price", "sold"]', '["the price"]', "network.outputs: expected"),
        ('"price"\n', '"a price"\n', "network.measured: expected a name of letters, digits and _, got 'a price'"),
        ('["batch", "length", 3]', '["length", 3]', "network.dimensions.tokens: expected a list such as"),
        ('["batch", "length", 3]', '["batch", 0]', "network.dimensions.tokens: expected a list such as"),
        ('["batch", "length", 3]', '["batch", "batch"]', "network.dimensions.tokens: expected a list such as"),
        ('["batch", "length", 3]', "3", "network.dimensions.tokens: expected a list such as"),
        ("tokens =", '"a b" =', "network.dimensions.a b: expected a name of letters, digits and _"),
        (
            "[network]",
            "[network]\ninputs = 3",
            "network.inputs: expected one of the keys outputs, measured, dimensions",
        ),
    ],
)
def test_a_wrong_network_table_is_refused(right: str, wrong: str, problem: str) -> None:
    (found,) = problems((WHOLE + NETWORK).replace(right, wrong))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("task", "loss", "weights", "listed", "balanced"),
    [
        ("binary", "bce_with_logits", "[1, 2.5]", [1.0, 2.5], False),
        ("binary", "mse", '"balanced"', [], True),
        ("multiclass", "cross_entropy", "[1, 2, 3]", [1.0, 2.0, 3.0], False),
        ("multilabel", "bce_with_logits", "[3]", [3.0], False),
        ("multilabel", "bce_with_logits", '"balanced"', [], True),
    ],
)
def test_classes_may_weigh_differently_in_the_loss(
    task: str, loss: str, weights: str, listed: list[float], balanced: bool
) -> None:
    train = parse(weighted(task, loss, weights).encode()).train
    assert (list(train.class_weights), train.balanced_class_weights) == (listed, balanced)


@pytest.mark.parametrize(
    ("task", "loss", "weights", "problem"),
    [
        ("binary", "bce", "[1]", 'expected a list of numbers above 0, two, or "balanced"'),
        ("binary", "bce", "[1, 0]", 'expected a list of numbers above 0, two, or "balanced"'),
        ("multilabel", "bce", "[0]", 'expected a list of numbers above 0, one for each label, or "balanced"'),
        ("binary", "custom", "[1, 2]", "expected no weights with a loss of your own"),
        ("ranking", "mse", "[1, 2]", "expected no weights with the task ranking"),
    ],
)
def test_weights_without_a_meaning_are_refused(task: str, loss: str, weights: str, problem: str) -> None:
    found = problems(weighted(task, loss, weights))
    assert [each for each in found if each.startswith(f"train.class_weights: {problem}")], found


def test_a_loss_of_logits_is_refused_for_a_task_without_probabilities() -> None:
    found = problems(weighted("ranking", "bce_with_logits", "[1, 2]"))
    assert [each for each in found if each.startswith("train.loss: expected another loss, because this one is for")]


def weighted(task: str, loss: str, weights: str) -> str:
    text = WHOLE.replace('loss = "mse"', f'loss = "{loss}"\nclass_weights = {weights}')
    metrics = {"ranking": '"ndcg"'}.get(task, '"accuracy", "recall"')
    text = text.replace('"accuracy", "recall"', metrics).replace("accuracy = { min = 0.98 }", "")
    text = text.replace("recall = { min = 0.92, max_drop = 0.01 }", "")
    return text.replace('task = "binary"', f'task = "{task}"')


OWN = WHOLE.replace(
    "[gate]", "threshold = { recall = 0.9 }\n[evaluate.own_metrics]\ncost = 'lower'\nprofit = 'higher'\n[gate]", 1
).replace("[release]", "cost = { max = 3, max_drop = 1 }\n[release]")


def test_own_metrics_and_a_chosen_threshold_are_recorded() -> None:
    evaluate = parse(OWN.encode()).evaluate
    assert list(evaluate.own_metrics) == [
        configuration.OwnMetric(name="cost", lower_is_better=True),
        configuration.OwnMetric(name="profit"),
    ]
    assert list(evaluate.metrics) == ["accuracy", "recall", "cost", "profit"]
    assert not evaluate.HasField("threshold")
    assert evaluate.threshold_choice == configuration.ThresholdChoice(recall=0.9)


def test_a_custom_task_is_measured_by_its_own_metrics_alone() -> None:
    text = OWN.replace('task = "binary"', 'task = "custom"').replace('metrics = ["accuracy", "recall"]\n', "")
    text = text.replace("threshold = { recall = 0.9 }\n", "").replace("accuracy = { min = 0.98 }\n", "")
    text = text.replace("recall = { min = 0.92, max_drop = 0.01 }\n", "")
    parsed = parse(text.encode())
    assert (parsed.task, list(parsed.evaluate.metrics)) == ("custom", ["cost", "profit"])
    assert parse(text.replace("[evaluate]", "[evaluate]\nmetrics = []", 1).encode()).evaluate == parsed.evaluate
    without = text.replace("[evaluate.own_metrics]\ncost = 'lower'\nprofit = 'higher'\n", "")
    missing = "evaluate.metrics: expected a list of leakage, or an empty one, but it is missing"
    assert any(each.startswith(missing) for each in problems(without))
    empty = without.replace("[evaluate]", "[evaluate]\nmetrics = []", 1)
    assert [each.partition(":")[0] for each in problems(empty)] == ["gate.cost"]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("cost = 'lower'", "cost = 'low'", "evaluate.own_metrics.cost: expected one of higher, lower, got 'low'"),
        ("profit =", "f1 =", "evaluate.own_metrics.f1: expected a name of letters, digits and _ that is no word"),
        ("{ recall = 0.9 }", "{ best = 'auc' }", "evaluate.threshold.best: expected one of f1, accuracy, got 'auc'"),
        ("{ recall = 0.9 }", "{}", "evaluate.threshold: expected one of best, recall and precision, got {}"),
        ("{ recall = 0.9 }", "{ recall = 9 }", "evaluate.threshold.recall: expected a number from 0 to 1, got 9"),
        (
            'task = "binary"',
            'task = "multilabel"',
            "evaluate.threshold: expected a number, because a threshold is chosen for the task binary alone",
        ),
    ],
)
def test_wrong_own_metrics_and_thresholds_are_one_problem(before: str, after: str, problem: str) -> None:
    assert before in OWN
    (found,) = problems(OWN.replace(before, after, 1))
    assert found.startswith(problem)


def test_a_slice_has_no_own_metrics_and_no_leakage() -> None:
    text = SLICED.replace("[gate]", "[evaluate.own_metrics]\ncost = 'lower'\n[gate]", 1)
    (found,) = problems(text.replace("[gate.slices.north]\nrecall", "[gate.slices.north]\ncost"))
    assert found == "gate.slices.north.cost: expected a metric that is measured on slices, got 'cost' (line 33)"


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("python -m pytest -q", "curl https://reader:t0ken@data.example/rows.csv", "code.tests"),
        ("data/transactions.csv", "//reader:t0ken@data.example/rows.csv", "data.transactions.uri"),
        ("python -m pytest -q", "pip install https://data.example/simple?access_token=t0ken", "code.tests"),
        ("hidden = 16", 'hidden = ["git clone reader:t0ken@data.example:rows"]', "parameters.hidden"),
        ("hidden = 16", 'hidden = { "https://t0ken@data.example" = 1 }', "parameters.hidden.https://***@data.example"),
        ("[gate]", '["https://t0ken@data.example"]', "https://***@data.example"),
        ('uri = "data/transactions.csv"', 'uri = ["https://t0ken@data.example"]', "data.transactions.uri"),
        ('loss = "mse"', f'loss = "{"x" * 300}https://reader:t0ken@data.example"', "train.loss"),
    ],
)
def test_no_text_of_the_file_may_hold_credentials_and_no_problem_shows_them(before: str, after: str, key: str) -> None:
    assert before in WHOLE
    found = problems(WHOLE.replace(before, after, 1))
    assert f"{key}: expected a text without a password, a token or a user name in a URL" in "\n".join(found)
    assert "t0ken" not in "\n".join(found)


def built_by_the_repository(**tables: str) -> str:
    return "\n".join(
        [
            '[model]\nname = "credit"\ntask = "binary"',
            '[code]\nkind = "onnx"\nmodule = "model"\ntests = "pytest"',
            *(f"[{name}]\n{lines}" for name, lines in tables.items()),
            '[evaluate]\nmetrics = ["auc"]',
        ]
    )


def test_code_that_leaves_an_onnx_file_needs_no_settings_of_a_training() -> None:
    parsed = parse(built_by_the_repository().encode())

    assert (parsed.code.kind, parsed.train.loss, parsed.train.epochs) == ("onnx", "", 0)
    assert parsed.train.batch_size > 0


def test_code_that_leaves_an_onnx_file_may_have_a_seed_and_name_an_output_as_its_converter_does() -> None:
    parsed = parse(built_by_the_repository(train="seed = 3", network='measured = "dense/Sigmoid:0"').encode())

    assert (parsed.train.seed, parsed.network.measured) == (3, "dense/Sigmoid:0")


SERVED = 'served_as = "prediction"\ninputs = { X = "features" }'


def test_an_onnx_file_may_be_served_by_the_names_that_callers_know() -> None:
    network = parse(built_by_the_repository(network=SERVED).encode()).network

    assert network.served_as == "prediction"
    assert list(network.input_names) == [configuration.InputName(file="X", callers="features")]


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ('"prediction"', "3", "network.served_as: expected the name of an output, got 3"),
        ('"features"', "1", "network.inputs.X: expected the name by which callers know this input, got 1"),
        ("X =", "'' =", "network.inputs.: expected the name of an input of the file, got ''"),
        (
            "served_as",
            "served",
            "network.served: expected one of the keys measured, served_as, inputs, got 'served'",
        ),
    ],
)
def test_a_wrong_name_for_callers_is_refused(right: str, wrong: str, problem: str) -> None:
    with pytest.raises(InvalidToml) as refused:
        parse(built_by_the_repository(network=SERVED.replace(right, wrong)).encode())
    assert any(each.startswith(f"{problem} (line ") for each in refused.value.problems)


@pytest.mark.parametrize(
    ("table", "lines", "problem"),
    [
        ("train", 'loss = "bce"', "train.loss: expected one of the keys seed, batch_size, got 'loss'"),
        (
            "network",
            'outputs = ["a"]',
            "network.outputs: expected one of the keys measured, served_as, inputs, got 'outputs'",
        ),
    ],
)
def test_settings_that_an_onnx_file_makes_useless_are_refused(table: str, lines: str, problem: str) -> None:
    with pytest.raises(InvalidToml) as refused:
        parse(built_by_the_repository(**{table: lines}).encode())

    assert refused.value.problems == [f"{problem} (line 9)"]


def test_another_kind_of_code_is_refused() -> None:
    with pytest.raises(InvalidToml) as refused:
        parse(built_by_the_repository().replace('"onnx"', '"keras"').encode())

    assert "code.kind: expected one of torch, onnx, got 'keras' (line 5)" in refused.value.problems
