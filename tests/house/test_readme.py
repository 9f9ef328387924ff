"""Every command the README shows is run by something: a promise nobody tests is a promise nobody keeps."""

import re

import pytest

from tests.house.tree import ROOT

FRAUD = "tests/journeys/test_fraud.py"
VIEW = "tests/cli/test_view.py"
LETTERS = "tests/cli/test_dead_letters.py"
TOPICS = "tests/cli/test_topics.py"

COVERED: dict[str, tuple[str, str]] = {
    "make": ("tests/house/test_makefile.py", '"make"'),
    "make help": ("tests/house/test_makefile.py", '"make"'),
    "make check": (".ci/run", "make check"),
    "make test": (".ci/run", "make test"),
    "make setup": ("Makefile", "check: setup"),
    "make demo": ("tests/journeys/test_breast_cancer.py", "demo.tell_all"),
    "export HEADGATE_LOG=kafka://broker-1:9092,broker-2:9092,broker-3:9092": (TOPICS, "kafka://"),
    "headgate topics apply --replication 3 --min-insync 2": (TOPICS, '"--replication", "1", "--min-insync", "1"'),
    "headgate topics list": (TOPICS, '"topics", "list"'),
    "make up": ("tests/deploy/test_compose.py", '["make", "--no-print-directory", target]'),
    "make down": ("tests/deploy/test_compose.py", '["up", "down", "images"]'),
    "headgate publish repository": (FRAUD, 'command("publish", "repository")'),
    "headgate model get fraud": (FRAUD, 'command("model", "get", "fraud"'),
    f"headgate predict fraud --row {','.join(['0.5'] * 11)}": (FRAUD, 'command("predict", "fraud", "--row", row'),
    "headgate event merged.json": ("tests/cli/test_event.py", '"event", "merged.json"'),
    "headgate replay": (FRAUD, 'command("replay")'),
    "headgate view status": (VIEW, 'headgate("view", "status")'),
    "headgate view verify": (VIEW, 'headgate("view", "verify")'),
    "headgate view rebuild": (VIEW, 'headgate("view", "rebuild")'),
    "headgate doctor": (FRAUD, 'command("doctor")'),
    "headgate environment set-policy production examples/demo_policy.toml": (FRAUD, '"set-policy", "production"'),
    "headgate log dead-letters list --since 24h": (LETTERS, 'run("list", "--since"'),
    "headgate log dead-letters show 3:17": (LETTERS, 'run("show", letter)'),
    "headgate log dead-letters replay --code bad-data --dry-run": (
        LETTERS,
        'run("replay", "--code", "bad-data", "--dry-run"',
    ),
    'headgate log dead-letters drop 3:17 --reason "a test"': (LETTERS, 'run("drop", second, "--reason"'),
    "headgate log refusals": (LETTERS, 'run("refusals"'),
}
"""Command -> the file that runs it, and the words there that do."""

FENCE = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """The command lines of the README's shell blocks, without prompts, comments and what a command answers."""
    found = []
    for block in FENCE.findall((ROOT / "README.md").read_text()):
        lines = [line.strip() for line in block.replace("\\\n", " ").splitlines()]
        if any(line.startswith("$ ") for line in lines):
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        stripped = (re.sub(r"\s+", " ", re.sub(r"(^|\s)#.*", "", line)).strip() for line in lines)
        found += [line for line in stripped if line]
    return found


def test_every_command_is_known():
    assert [command for command in commands() if command not in COVERED] == []


@pytest.mark.parametrize("command", COVERED)
def test_a_known_command_is_run_where_the_table_says(command):
    path, words = COVERED[command]
    assert words in (ROOT / path).read_text()
