"""What people change about models, versions, aliases and environments, on a real registry."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from headgate.cli import histories
from headgate.cli.session import default_log
from headgate.client.stubs import Stubs
from headgate.log import topics
from headgate.log.open import open_log
from headgate.v1 import registry_service_pb2 as registry_service
from services.registry import app as registry
from services.registry.settings import Settings
from tests.cli.running import Headgate, run_headgate


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on a log of its own. Each test uses models and environments of its own."""
    url = f"sqlite://{tmp_path_factory.mktemp('registry') / 'log.db'}"
    running = registry.build(Settings(log=url, port=0))
    yield f"127.0.0.1:{running.start()}"
    running.stop(5)


@pytest.fixture
def headgate(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headgate:
    """Runs `headgate ARGUMENTS` and returns its exit code, its data (stdout) and its progress (stderr)."""
    monkeypatch.chdir(tmp_path)

    return partial(run_headgate, monkeypatch, capsys, "--registry", address, "--actor", "ada")


def data(headgate: Headgate, *arguments: str) -> dict[str, Any]:
    code, out, err = headgate(*arguments, "-o", "json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def create(headgate: Headgate, model: str, commit: str = "a") -> str:
    options = ["--repository", "/some/where", "--commit", commit * 40]
    return str(data(headgate, "version", "create", model, *options, "--message", "First")["name"])


def test_a_version_is_created_without_an_event(headgate: Headgate) -> None:
    assert create(headgate, "churn") == "models/churn/versions/1"
    found = data(headgate, "version", "get", "churn/1")
    assert (found["commit"], found["commit_message"], found["repository"]) == ("a" * 40, "First", "/some/where")


def test_a_model_is_created_with_labels_and_described_later_field_by_field(headgate: Headgate) -> None:
    words = ["--description", "Fraud", "--repository", "/r", "--label", "team=risk", "--label", "tier=1"]
    made = data(headgate, "model", "create", "cards", *words)
    assert (made["name"], made["labels"]) == ("models/cards", {"team": "risk", "tier": "1"})
    changed = data(headgate, "model", "update", "cards", "--description", "Card fraud")
    assert (changed["description"], changed["repository"]) == ("Card fraud", "/r")
    changed = data(headgate, "model", "update", "cards", "--repository", "/other")
    assert (changed["description"], changed["repository"]) == ("Card fraud", "/other")
    assert "description" not in data(headgate, "model", "update", "cards", "--description", "")
    assert data(headgate, "model", "label", "cards", "team", "cards")["labels"]["team"] == "cards"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model", "update", "cards"], "give --description or --repository"),
        (["version", "list", "cards/1"], "'cards/1': expected the name of a model, such as fraud"),
        (["version", "watch-all", "cards/1"], "'cards/1': expected the name of a model, such as fraud"),
        (["release", "list", "cards/1"], "'cards/1': expected the name of a model, such as fraud"),
        (["model", "create", "cards", "--label", "risk"], "--label 'risk': expected KEY=VALUE"),
        (["alias", "set", "fraud", "3"], "'fraud': expected MODEL@ALIAS, for example fraud@champion"),
        (["alias", "delete", "fraud@"], "'fraud@': expected MODEL@ALIAS"),
        (["alias", "set", "fraud@champion", "three"], "'three': expected the number of a version"),
        (
            ["freeze", "declare", "x", "y", "--reason", "r", "--until", "soon"],
            "--until 'soon': expected a time such as",
        ),
        (
            ["freeze", "declare", "x", "y", "--reason", "r", "--until", "1h", "--from", "?"],
            "--from '?': expected a time",
        ),
        (
            ["freeze", "declare", "x", "y", "--reason", "r", "--until", "1.5h"],
            "or a whole number with s, m, h or d",
        ),
        (["--log-wait-seconds", "nan", "model", "list"], "nan is not in the range 0<=x<=1000000000"),
        (["--log-wait-seconds", "1e10", "model", "list"], "1e+10 is not in the range 0<=x<=1000000000"),
    ],
)
def test_a_wrong_argument_is_refused_with_the_form_that_is_right(
    headgate: Headgate, arguments: list[str], message: str
) -> None:
    code, out, err = headgate(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_an_alias_names_a_version_moves_and_is_removed(headgate: Headgate) -> None:
    create(headgate, "aliased", "a")
    create(headgate, "aliased", "b")
    code, _, err = headgate("alias", "set", "aliased@Champion!", "1")
    assert (code, "alias is 'Champion!': a name has 1 to 63 characters" in err) == (2, True)
    assert "No aliases yet" in headgate("alias", "list", "aliased")[2]
    assert data(headgate, "alias", "set", "aliased@champion", "1")["aliases"] == {"champion": 1}
    assert headgate("alias", "list", "aliased")[1].split() == ["ALIAS", "VERSION", "champion", "v1"]
    assert data(headgate, "alias", "set", "models/aliased@champion", "v2")["aliases"] == {"champion": 2}
    assert data(headgate, "version", "get", "aliased@champion")["version"] == 2
    assert data(headgate, "version", "tag", "aliased@champion", "seen", "yes")["version"] == 2
    assert "aliases" not in data(headgate, "alias", "delete", "aliased@champion")
    code, _, err = headgate("alias", "delete", "aliased@champion")
    assert (code, "alias champion does not exist" in err) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (["model", "get", "Fraud!"], "name is 'Fraud!'"),
        (["model", "create", "Fraud!"], "model is 'Fraud!'"),
        (["version", "get", "Fraud!/1"], "name is 'Fraud!'"),
        (["release", "get", "Fraud!/1"], "name is 'Fraud!'"),
        (["environment", "get", "?"], "name is '?'"),
        (["freeze", "declare", "live", "Audit!", "--until", "12h", "--reason", "r"], "freeze is 'Audit!'"),
    ],
)
def test_a_name_that_cannot_exist_is_refused_in_one_sentence(
    headgate: Headgate, arguments: list[str], place: str
) -> None:
    code, _, err = headgate(*arguments)
    assert re.search(f"{re.escape(place)}: (a name has 1 to 63 characters of a-z|the name of a model is NAME, or)", err)
    assert code == 2


def test_a_tag_is_set_and_removed(headgate: Headgate) -> None:
    create(headgate, "tagged")
    assert data(headgate, "version", "tag", "tagged/1", "reviewed", "ada")["tags"] == {"reviewed": "ada"}
    assert "tags" not in data(headgate, "version", "tag", "tagged/1", "reviewed")


def test_a_change_happens_once_for_its_id_and_only_while_the_etag_is_right(headgate: Headgate) -> None:
    create(headgate, "guarded")
    etag = data(headgate, "version", "get", "guarded/1")["etag"]
    tag = ("version", "tag", "guarded/1", "reviewed")
    assert data(headgate, "--etag", etag, "--request-id", "r-1", *tag, "ada")["tags"] == {"reviewed": "ada"}
    code, _, err = headgate("--etag", etag, *tag, "grace")
    assert (code, "stale-etag" in err) == (1, True)
    assert data(headgate, *tag, "grace")["tags"] == {"reviewed": "grace"}
    assert data(headgate, "--request-id", "r-1", *tag, "ada")["tags"] == {"reviewed": "grace"}
    code, _, err = headgate("--etag", etag, "version", "get", "guarded/1")
    assert (code, "warning: --etag had no effect" in err) == (0, True)


def test_a_version_is_quarantined_and_let_free_again(headgate: Headgate) -> None:
    create(headgate, "ill")
    assert data(headgate, "version", "quarantine", "ill/1", "--reason", "biased")["quarantined"] is True
    assert "quarantined" not in data(headgate, "version", "lift-quarantine", "ill/1", "--reason", "mended")


def test_a_version_that_waits_is_cancelled_with_who_and_why(headgate: Headgate) -> None:
    create(headgate, "hung")
    code, _, err = headgate("version", "cancel", "hung/1", "--reason", " ")
    assert (code, "a cancellation needs its reason" in err) == (2, True)
    assert data(headgate, "version", "cancel", "hung/1", "--reason", "the wrong branch")["label"] == "cancelled"
    found = data(headgate, "version", "get", "hung/1")
    assert (found["build"], found["failure"]) == ("BUILD_STATE_CANCELLED", "cancelled by ada: the wrong branch")
    assert "waiting_for" not in found
    code, _, err = headgate("version", "watch", "hung/1")
    assert (code, "v1 cancelled: the wrong branch" in err) == (1, True), err


def test_a_version_is_purged_only_when_it_is_archived_and_the_purge_is_confirmed(headgate: Headgate) -> None:
    create(headgate, "old")
    code, _, err = headgate("version", "purge", "old/1")
    assert (code, "the artifact of version 1 of old would be deleted for ever: give --yes" in err) == (2, True)
    code, _, err = headgate("version", "purge", "old/1", "--yes")
    assert (code, "a version must be archived before it is purged" in err) == (1, True)
    assert data(headgate, "version", "archive", "old/1", "--reason", "old")["retention"] == "RETENTION_STATE_ARCHIVED"
    purged = data(headgate, "version", "purge", "old/1", "--reason", "old", "--yes")
    assert purged["retention"] == "RETENTION_STATE_PURGED"


def test_the_history_of_a_model_and_of_an_environment_lists_the_newest_facts(headgate: Headgate) -> None:
    create(headgate, "old-story", "a")
    for key in ("one", "two", "three"):
        assert headgate("version", "tag", "old-story/1", key, "yes")[0] == 0
    code, out, _ = headgate("model", "history", "old-story", "-n", "2")
    assert (code, "ada" in out, "v1 tag two set to yes" in out) == (0, True, True)
    whole = json.loads(headgate("model", "history", "old-story", "-o", "json")[1])
    assert [each["sequence"] for each in whole] == [1, 2, 3, 4]
    assert whole[3]["fact"]["version_tagged"]["key"] == "three"
    assert headgate("environment", "create", "old-place")[0] == 0
    assert "environment created" in headgate("environment", "history", "old-place")[1]
    assert headgate("model", "history", "nobody")[0] == 3


def test_a_watch_prints_what_matches_and_then_each_change_once(
    headgate: Headgate, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(headgate, "watched", "a")
    second = registry_service.CreateVersionRequest(parent="models/watched", repository="/some/where", commit="b" * 40)

    def three(watch: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """What matches, the end of that, a change, and what a watch that had to begin again sends."""
        changes = watch()
        yield from islice(changes, 2)
        with Stubs(address, "") as stubs:
            stubs.registry.CreateVersion(second)
        yield next(changes)
        yield from islice(watch(), 3)

    monkeypatch.setattr(histories, "watch_through_restarts", three)
    lines = headgate("version", "watch-all", "watched", "-o", "json")[1].splitlines()
    shown = [json.loads(line) for line in lines]
    assert [(each["change"], each["version"]["version"]) for each in shown] == [("present", 1), ("changed", 2)]
    monkeypatch.setattr(histories, "watch_through_restarts", lambda watch: islice(watch(), 1))
    code, out, _ = headgate("model", "watch-all", "--filter", "name = watched")
    assert (code, out.split()[:2]) == (0, ["present", "watched"])


def test_a_freeze_is_declared_shown_and_lifted(headgate: Headgate) -> None:
    assert data(headgate, "environment", "create", "staging", "--description", "For trials")["name"]
    begin, end, reason = "2026-12-24T12:00:00Z", "2026-12-27", "nobody is here"
    declare = ("freeze", "declare", "staging", "holidays", "--from", begin, "--until", end, "--reason", reason)
    declared = data(headgate, *declare)
    (freeze,) = declared["freezes"]
    assert (freeze["freeze"], freeze["reason"]) == ("holidays", "nobody is here")
    assert int(freeze["until_ms"]) - int(freeze["from_ms"]) == 60 * 3_600_000
    shown = headgate("environment", "get", "staging")[1]
    assert "holidays from 2026-12-24 12:00:00 until 2026-12-27 00:00:00 (nobody is here)" in shown
    (listed,) = data(headgate, "freeze", "list", "staging")
    assert (listed["freeze"], listed["until"]) == ("holidays", "2026-12-27 00:00:00")
    assert "No freeze holds or is to come in production." in headgate("freeze", "list", "production")[2]
    lifted = headgate("freeze", "lift", "staging", "holidays", "--reason", "they are back")[1]
    assert lifted == "environment  staging\nfreezes      none\n"
    assert "staging" in headgate("environment", "list")[1]
    late = ("freeze", "declare", "staging", "late", "--reason", "r")
    code, _, err = headgate(*late, "--until", "2020-01-01")
    assert (code, "--until '2020-01-01' is 2020-01-01 00:00:00 UTC: a freeze must end in the future" in err) == (
        2,
        True,
    )
    code, _, err = headgate(*late, "--from", "2099-02-01", "--until", "2099-01-01")
    assert (code, "and --from '2099-02-01' is 2099-02-01 00:00:00 UTC: a freeze must end after" in err) == (2, True)
    assert "--until '0s' is 20" in headgate(*late, "--until", "0s")[2]
    code, _, err = headgate("freeze", "lift", "staging", "holidays")
    assert (code, "environment staging has no freeze holidays: it has no freeze. `headgate freeze list`" in err) == (
        3,
        True,
    )


def test_an_environment_that_has_releases_alone_exists(headgate: Headgate) -> None:
    code, _, err = headgate("freeze", "lift", "only-releases", "holidays")
    assert (code, "environment only-releases has no freeze holidays: it has no freeze" in err) == (3, True)
    code, out, err = headgate("environment", "history", "only-releases", "-o", "json")
    assert (code, out) == (0, "[]\n")
    shown = headgate("environment", "history", "only-releases")[2]
    assert "No policy was set and no freeze declared for environment only-releases" in shown
    code, _, err = headgate("environment", "get", "only-releases")
    assert (code, "no policy was set for environment only-releases: its releases follow" in err) == (0, True)


def test_a_freeze_or_a_policy_of_an_environment_that_nothing_uses_asks_whether_the_name_is_right(
    headgate: Headgate, tmp_path: Path
) -> None:
    (tmp_path / "policy.toml").write_text("")
    freeze = ("freeze", "declare", "nope", "audit", "--until", "2099-01-01", "--reason", "r")
    for name, declare in (("nope", freeze), ("nowhere", ("environment", "set-policy", "nowhere", "policy.toml"))):
        code, _, err = headgate(*declare)
        assert (code, f"nothing has gone live in {name} yet" in err, "is the name right?" in err) == (0, True, True)
        assert re.search(r"known environments: .*production", err)
        assert headgate(*declare)[2] == ""
    headgate("environment", "create", "made")
    for known in ("made", "production"):
        assert headgate("environment", "set-policy", known, "policy.toml")[2] == ""


def test_publishing_asks_about_an_environment_that_nobody_knows(headgate: Headgate, tmp_path: Path) -> None:
    (tmp_path / ".headgate").mkdir()
    url = default_log(tmp_path / ".headgate")
    with closing(open_log(url)) as log:
        log.create_topics(topics.TOPICS)
    git = ("git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org")
    for environment, asks in (("prodction", True), ("production", False)):
        asked = f'[release]\nenvironment = "{environment}"\nstrategy = "direct"\n'
        (tmp_path / "headgate.toml").write_text(f'[model]\nname = "asking"\n{asked}')
        for arguments in (("init", "-q"), ("add", "headgate.toml"), ("commit", "-q", "-m", environment)):
            subprocess.run([*git, *arguments], check=True)
        code, _, err = headgate("--log", url, "publish", str(tmp_path))
        assert (code, "nothing has gone live in prodction yet" in err) == (0, asks)


def test_a_duration_of_a_freeze_counts_by_the_logs_time_whatever_the_callers_clock_shows(
    headgate: Headgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + 86_400_000_000_000)
    (freeze,) = data(headgate, "freeze", "declare", "night", "audit", "--until", "12h", "--reason", "r")["freezes"]
    assert int(freeze["until_ms"]) == pytest.approx(real_ns() / 1e6 + 12 * 3_600_000, abs=60_000)


def test_a_freeze_without_a_begin_holds_at_once_whatever_the_callers_clock_shows(headgate: Headgate) -> None:
    (freeze,) = data(headgate, "freeze", "declare", "live", "audit", "--until", "12h", "--reason", "r")["freezes"]
    assert "from_ms" not in freeze


def test_a_repository_is_declared_listed_and_taken_back(headgate: Headgate) -> None:
    assert headgate("model", "create", "payments")[0] == 0
    url = "https://git.example.org/acme/payments.git"
    wanted = {"model": "payments", "repository": url, "branch": "main", "secret": "github"}
    added = ["repository", "add", url, "--model", "payments", "--branch", "main", "--secret-file", "github"]
    code, out, err = headgate(*added, "-o", "json")
    assert (code, json.loads(out)) == (0, [wanted])
    assert "/webhooks/SENDER/github" in err
    assert wanted in json.loads(headgate("repository", "list", "-o", "json")[1])
    code, _, err = headgate("repository", "remove", url, "--model", "payments")
    assert (code, "payments has no repository any more" in err) == (0, True)
    code, _, err = headgate("repository", "remove", url, "--model", "payments")
    assert (code, "does not exist" in err) == (3, True)


def test_a_secret_is_named_and_never_a_path(headgate: Headgate) -> None:
    code, _, err = headgate("repository", "add", "/srv/git/x", "--model", "payments", "--secret-file", "/etc/secret")
    assert (code, "no path" in err) == (2, True)


def test_where_up_runs_a_new_secret_is_made_once(headgate: Headgate, tmp_path: Path) -> None:
    assert headgate("model", "create", "own-secret")[0] == 0
    (tmp_path / ".headgate").mkdir()
    (tmp_path / ".headgate" / "up.json").write_text("{}")
    added = ["repository", "add", "/srv/git/own", "--model", "own-secret", "--secret-file", "own"]
    assert headgate(*added)[0] == 0
    file = tmp_path / ".headgate" / "webhook-secrets" / "own"
    secret = file.read_text()
    assert (len(secret) > 40, file.stat().st_mode & 0o077) == (True, 0)
    assert headgate(*added)[0] == 0
    assert file.read_text() == secret
