"""Every command in README and docs/ exists, and a test runs it."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from headgate.cli.main import app
from tests.house.tree import ROOT, short, tracked

CERTIFICATES = "tests/cli/test_certificates.py"
CHANGES = "tests/cli/test_version_changes.py"
CLI = "tests/cli/test_cli.py"
FRAUD = "tests/journeys/test_fraud.py"
HISTORIES = "tests/histories/test_histories.py"
LETTERS = "tests/cli/test_dead_letters.py"
PAST = "tests/registry/test_as_of_commands.py"
ENCRYPTION = "tests/cli/test_encryption.py"
PEOPLE = "tests/cli/test_people.py"
RELEASES = "tests/cli/test_release_verbs.py"
TOPICS = "tests/cli/test_topics.py"
VIEW = "tests/cli/test_view.py"
FIRST_STEPS = "tests/examples/test_first_steps.py"

ACCESS = "tests/cli/test_access.py"
LOGIN = "tests/cli/test_login.py"
AUTHENTICATION = "tests/registry/test_authentication.py"

RUN_BY: dict[str, str] = {
    "headgate access explain": ACCESS,
    "headgate access explain --at": ACCESS,
    "headgate access grant --deny --models": ACCESS,
    "headgate access grant --models": AUTHENTICATION,
    "headgate access grant --environments": ACCESS,
    "headgate access grant --project": ACCESS,
    "headgate access grant --environments --models": "tests/gateway/test_authentication.py",
    "headgate access list --subject": ACCESS,
    "headgate access revoke --reason": ACCESS,
    "headgate token create --expires --models --role": AUTHENTICATION,
    "headgate token create --project --role": ACCESS,
    "headgate login --client-id --issuer": LOGIN,
    "headgate login --client-id --client-secret-file --issuer": LOGIN,
    "headgate logout": LOGIN,
    "headgate token list": ACCESS,
    "headgate token revoke --reason": ACCESS,
    "headgate token secret": ACCESS,
    "headgate alias delete": CHANGES,
    "headgate alias list": CHANGES,
    "headgate alias set": CHANGES,
    "headgate certificates create --for": CERTIFICATES,
    "headgate certificates create --host": CERTIFICATES,
    "headgate certificates renew": CERTIFICATES,
    "headgate certificates show": CERTIFICATES,
    "headgate check": "tests/cli/test_repository.py",
    "headgate data add": "tests/cli/test_repository.py",
    "headgate data add --uri": "tests/cli/test_repository.py",
    "headgate doctor": FRAUD,
    "headgate edge --device --environment --from --keys --state": "tests/gateway/edge/test_process.py",
    "headgate encryption create": ENCRYPTION,
    "headgate encryption encrypt": ENCRYPTION,
    "headgate encryption retire": ENCRYPTION,
    "headgate encryption rotate": ENCRYPTION,
    "headgate encryption status": ENCRYPTION,
    "headgate environment get": RELEASES,
    "headgate environment set-policy": FRAUD,
    "headgate event send": "tests/cli/test_event_outcome.py",
    "headgate event status": "tests/cli/test_event_outcome.py",
    "headgate freeze declare --reason --until": CHANGES,
    "headgate freeze lift --reason": CHANGES,
    "headgate freeze list": CHANGES,
    "headgate gateway devices --from": "tests/cli/test_devices.py",
    "headgate gateway devices --from --troubled": "tests/cli/test_devices.py",
    "headgate gateway model": "tests/cli/test_predict.py",
    "headgate log dead-letters drop --reason": LETTERS,
    "headgate log dead-letters list": LETTERS,
    "headgate log dead-letters list --since": LETTERS,
    "headgate log dead-letters replay": LETTERS,
    "headgate log dead-letters replay --code --dry-run": LETTERS,
    "headgate log dead-letters show": LETTERS,
    "headgate log refusals": LETTERS,
    "headgate log refusals -n": LETTERS,
    "headgate log tail --key -n": CLI,
    "headgate log tail --topic -n": CLI,
    "headgate log tail --topic -n -o": CLI,
    "headgate log tail -n": CLI,
    "headgate init": "tests/cli/test_init.py",
    "headgate model get": FRAUD,
    "headgate model history": CHANGES,
    "headgate model label": CHANGES,
    "headgate model list": CLI,
    "headgate model list --filter": VIEW,
    "headgate prediction list": "tests/cli/test_prediction_log.py",
    "headgate prediction list --last -o": "tests/cli/test_prediction_log.py",
    "headgate prediction watch": "tests/cli/test_prediction_log.py",
    "headgate predict --json --key -o": "tests/cli/test_predict.py",
    "headgate predict --row": FRAUD,
    "headgate predict --rows": "tests/cli/test_predict.py",
    "headgate publish": FRAUD,
    "headgate publish --url": "tests/cli/test_keys.py",
    "headgate repository add --branch --model --secret-file": CHANGES,
    "headgate repository list": CHANGES,
    "headgate repository remove --model": CHANGES,
    "headgate release abort --reason": RELEASES,
    "headgate release get": RELEASES,
    "headgate release list": RELEASES,
    "headgate release pause --reason": RELEASES,
    "headgate release promote --reason": RELEASES,
    "headgate release resume": RELEASES,
    "headgate release undo": RELEASES,
    "headgate release undo --reason": RELEASES,
    "headgate release watch": RELEASES,
    "headgate replay": FRAUD,
    "headgate replay --at": PAST,
    "headgate explain": PAST,
    "headgate explain --environment": PAST,
    "headgate explain --release": PAST,
    "headgate log export": PAST,
    "headgate model list --at": PAST,
    "headgate release list --at": PAST,
    "headgate version get --at": PAST,
    "headgate topics acls": TOPICS,
    "headgate topics acls --apply": TOPICS,
    "headgate topics acls --form": TOPICS,
    "headgate topics apply --min-insync --replication": TOPICS,
    "headgate topics list": TOPICS,
    "headgate up": "tests/cli/test_up.py",
    "headgate up --insecure": "tests/cli/test_up.py",
    "headgate token create --models --role": ACCESS,
    "headgate version import --test": "tests/cli/test_version_import.py",
    "headgate version import --architecture --config --test": "tests/cli/test_version_import.py",
    "headgate version import --sha256 --test --test-sha256": "tests/cli/test_version_import.py",
    "headgate version approve --reason": PEOPLE,
    "headgate version archive --reason": CHANGES,
    "headgate version attestations": "tests/cli/test_version_attestations.py",
    "headgate version bom": "tests/journeys/test_own_packages.py",
    "headgate version cancel --reason": CHANGES,
    "headgate version deny --reason": PEOPLE,
    "headgate version download": "tests/cli/test_version_download.py",
    "headgate version evaluate": "tests/evaluator/test_app.py",
    "headgate version get": PEOPLE,
    "headgate version lift-quarantine --reason": CHANGES,
    "headgate version list --filter": FRAUD,
    "headgate version list --order": VIEW,
    "headgate version logs": "tests/cli/test_version_logs.py",
    "headgate version logs --follow": "tests/cli/test_version_logs.py",
    "headgate version purge --reason --yes": CHANGES,
    "headgate version quarantine --reason": CHANGES,
    "headgate version tag": CHANGES,
    "headgate version watch": FRAUD,
    "headgate view rebuild": VIEW,
    "headgate view status": VIEW,
    "headgate view verify": VIEW,
}
"""A command without its arguments, with sorted options -> the test file with a call that has all of these words."""

ADDED_WORDS = {LETTERS: {"log", "dead-letters"}, ENCRYPTION: {"encryption"}}
"""Words that a fixture of the file puts before the words of each call."""

RUN_ELSEWHERE: dict[str, tuple[str, str]] = {
    "make": ("tests/house/test_makefile.py", '"make"'),
    "make check": (".ci/run", "make check"),
    "make demo": ("tests/journeys/test_breast_cancer.py", "demo.run_stories"),
    "make down": ("tests/deploy/test_compose.py", '["up", "down", "images"]'),
    "make setup": (FIRST_STEPS, "run_as_written"),
    "make test": (".ci/run", "make test"),
    "make up": ("tests/deploy/test_compose.py", '["make", "--no-print-directory", target]'),
    "export HEADGATE_LOG=kafka://broker-1:9092,broker-2:9092,broker-3:9092": (TOPICS, "kafka://"),
    "export HEADGATE_LOG=file:facts.jsonl": (PAST, "file:facts.jsonl"),
    "export HEADGATE_LOG=kafka://127.0.0.1:9094": ("scripts/compose.sh", "HEADGATE_LOG=kafka://127.0.0.1:9094"),
    'export PATH="$PWD/.venv/bin:$PATH"': (FIRST_STEPS, "run_as_written"),
    "cp -r examples/fraud ~/fraud": (FIRST_STEPS, "run_as_written"),
    "git -C ~/fraud init": (FIRST_STEPS, "run_as_written"),
    "git -C ~/fraud add .": (FIRST_STEPS, "run_as_written"),
    'git -C ~/fraud commit -m "First version"': (FIRST_STEPS, "run_as_written"),
    ".venv/bin/python -m tests.histories NAME": (HISTORIES, "main(name)"),
    '.venv/bin/python -m tests.histories NAME sqlite:///path/log.db "What it shows" models/fraud': (
        HISTORIES,
        'main("churn", f"sqlite://{tmp_path}/log.db", "What it shows", CHURN)',
    ),
    'curl -K .headgate/keys/curl https://127.0.0.1:7405/v2/models/fraud/infer -d \'{"inputs": [{"name": "features", '
    '"datatype": "FP32", "shape": [1, 11], "data": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}]}\'': (
        FRAUD,
        'startswith("curl ")',
    ),
    "curl --cacert .headgate/keys/certificates/authority.pem https://127.0.0.1:7405/v2/health/ready": (
        "tests/cli/test_up.py",
        '"curl --cacert .headgate/keys/certificates/authority.pem {rest}/v2/health/ready"',
    ),
    "curl -K .headgate/keys/curl https://127.0.0.1:7405/v2": (
        "tests/cli/test_up.py",
        '"curl -K .headgate/keys/curl {rest}/v2"',
    ),
    "curl -K .headgate/keys/curl https://127.0.0.1:7408/v1/models": (
        "tests/cli/test_up.py",
        '"curl -K .headgate/keys/curl {console}/v1/models"',
    ),
    "curl -H @token.header https://gateway.example.com:7405/v2/models/fraud": (
        "tests/gateway/test_access.py",
        "asked(rest, method, bearer(token()))",
    ),
    "uv pip compile --generate-hashes requirements.in -o requirements.txt": (
        "tests/trainer/packages/test_installing.py",
        "*COMPILE.split()",
    ),
}
"""Any other whole command -> the file that runs it, and the text in that file."""

ROOT_COMMAND = typer.main.get_command(app)

BLOCK = re.compile(r"^ *```(?:sh|bash|shell|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:headgate|make) [^`]*)`")


def pages() -> list[Path]:
    """The pages for users, and the two pages for engineers in the root folder."""
    named = [
        ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "k8s/README.md")
    ]
    return [*named, *sorted((ROOT / "docs").rglob("*.md"))]


def shown(text: str) -> list[str]:
    """The commands in the shell blocks, without prompts, comments and output."""
    found = []
    for block in BLOCK.findall(text):
        lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
        if any(line.startswith("$ ") for line in lines):
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        stripped = (re.sub(r"\s+", " ", re.sub(r"(^|\s)#.*", "", line)).strip() for line in lines)
        found += [line for line in stripped if line]
    return found


def inline(text: str) -> list[str]:
    return [" ".join(command.split()) for command in INLINE.findall(BLOCK.sub("", text))]


def shape(command: str) -> str:
    """A headgate command without its arguments, with its options sorted. Any other command is not changed."""
    if not command.startswith("headgate "):
        return command
    verbs, _, options = parsed(command)
    return " ".join(["headgate", *verbs, *sorted(options)])


def parsed(command: str) -> tuple[list[str], Any, set[str]]:
    """The command's verbs, the node of the last verb, and its options. Raises AssertionError for unknown ones."""
    words = shlex.split(command)[1:]
    node: Any = ROOT_COMMAND
    verbs: list[str] = []
    while hasattr(node, "commands") and words and not words[0].startswith("-"):
        assert words[0] in node.commands, f"{command}: there is no {words[0]}"
        verbs.append(words.pop(0))
        node = node.commands[verbs[-1]]
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    known = {option for parameter in node.params for option in parameter.opts}
    assert options <= known | {"--help"}, f"{command}: unknown {options - known}"
    return verbs, node, options


@cache
def word_lists(path: str) -> list[set[str]]:
    """The constant words of each call, list and tuple in a Python file. A command that a test runs is one of these."""
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    return [words(node) for node in nodes if isinstance(node, ast.Call | ast.List | ast.Tuple)]


def words(node: ast.Call | ast.List | ast.Tuple) -> set[str]:
    parts = node.args if isinstance(node, ast.Call) else node.elts
    constants = (part.value for part in parts if isinstance(part, ast.Constant))
    return {value.partition("=")[0] for value in constants if isinstance(value, str)}


def runs(path: str, command: str) -> bool:
    expected = set(command.split()[1:]) - ADDED_WORDS.get(path, set())
    return any(expected <= found for found in word_lists(path))


@pytest.mark.parametrize("page", pages(), ids=short)
def test_a_page_shows_only_commands_that_a_test_runs(page: Path) -> None:
    commands = {shape(command) for command in shown(page.read_text())}
    assert commands - RUN_BY.keys() - RUN_ELSEWHERE.keys() == set()


@pytest.mark.parametrize("page", pages(), ids=short)
def test_a_page_names_only_existing_commands(page: Path) -> None:
    targets = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in inline(page.read_text()):
        if command.startswith("make "):
            assert command.split()[1] in targets, command
        else:
            parsed(command)


@pytest.mark.parametrize("page", pages(), ids=short)
def test_a_command_in_a_block_is_complete(page: Path) -> None:
    for command in shown(page.read_text()):
        if command.startswith("headgate "):
            assert not hasattr(parsed(command)[1], "commands"), f"{command}: the verb is missing"


def test_the_tables_have_no_commands_that_no_page_shows() -> None:
    everything = {shape(command) for page in pages() for command in shown(page.read_text())}
    assert RUN_BY.keys() | RUN_ELSEWHERE.keys() <= everything | {"make"}


@pytest.mark.parametrize("command", RUN_BY)
def test_a_headgate_command_is_run_by_the_file_in_the_table(command: str) -> None:
    assert runs(RUN_BY[command], command)


@pytest.mark.parametrize("command", RUN_ELSEWHERE)
def test_any_other_command_is_run_by_the_file_in_the_table(command: str) -> None:
    path, words = RUN_ELSEWHERE[command]
    assert words in (ROOT / path).read_text()


def test_a_command_that_no_test_runs_is_found() -> None:
    assert not runs(RELEASES, "headgate release abort --because")
    assert not runs(FRAUD, "headgate release abort --reason")


@pytest.mark.parametrize("command", ["headgate release stop fraud/3", "headgate release abort fraud/3 --because late"])
def test_an_unknown_command_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        parsed(command)


LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [path for path in tracked() if path.suffix == ".md"], ids=short)
def test_a_link_leads_to_an_existing_file(page: Path) -> None:
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert missing == []
