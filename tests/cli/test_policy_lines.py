"""The page of an environment shows every value of its policy that applies."""

from pathlib import Path

import pytest

from headgate.cli import columns
from headgate.cli.policy_file import DURATIONS, JUDGE, OTHERS, PolicyUnreadable, read_policy
from headgate.cli.policy_lines import policy_lines
from headgate.cli.tables import page_text, table_text
from headgate.domain import policy as policies
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.house.tree import ROOT


def test_an_environment_without_a_policy_shows_every_value_as_a_default():
    lines = dict(policy_lines(configuration.ReleasePolicy()))
    assert all(value.endswith(" (default)") for value in lines.values())
    assert lines["steps"].split("\n")[0] == "5 % for at least 600 s and 300 keys (default)"
    assert lines["paused_release"] == "yields (default)"


def test_every_key_of_a_policy_file_is_on_the_page():
    shown = {column.name for column in columns.ENVIRONMENT}
    keys = {*(f"{name}_seconds" for name in DURATIONS), *(f"judge.{name}" for name in JUDGE), *OTHERS}
    assert keys - {"judge"} <= shown


def test_every_field_of_a_policy_is_on_the_page():
    fields = configuration.ReleasePolicy.DESCRIPTOR.fields
    lines = len(list(policy_lines(policies.DEFAULT)))
    assert lines == len(fields) - 1 + len(configuration.JudgePolicy.DESCRIPTOR.fields)


def test_a_value_that_was_set_has_no_mark_and_one_that_equals_the_default_has():
    lines = dict(policy_lines(read_policy(ROOT / "examples" / "demo_policy.toml")))
    assert (lines["bake_seconds"], lines["judge.alpha"]) == ("4", "0.01 (default)")
    assert lines["steps"] == "10 % for at least 4 s and 20 keys\n50 % for at least 4 s and 100 keys"


def test_a_step_without_a_number_of_keys_shows_the_one_that_it_needs():
    policy = configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=500, min_duration_ms=1000)])
    assert dict(policy_lines(policy))["steps"] == "5 % for at least 1 s and 1 key"


def test_a_zero_that_was_set_is_shown_as_zero():
    assert dict(policy_lines(configuration.ReleasePolicy(bake_ms=0)))["bake_seconds"] == "0"


def test_a_weight_of_a_pause_that_was_set_to_zero_is_not_the_default():
    assert dict(policy_lines(policies.DEFAULT))["paused_weight_percent"] == "none (default)"
    assert dict(policy_lines(configuration.ReleasePolicy(paused_weight_bps=0)))["paused_weight_percent"] == "0"


def test_a_release_that_stays_paused_says_so():
    stays = configuration.ReleasePolicy(paused_release=configuration.PAUSED_RELEASE_STAYS)
    assert dict(policy_lines(stays))["paused_release"] == "stays"


def test_a_policy_that_lets_testers_choose_the_arm_says_so(tmp_path: Path):
    file = tmp_path / "policy.toml"
    file.write_text("arm_header = true\n")
    assert dict(policy_lines(read_policy(file)))["arm_header"] == "true"
    file.write_text('arm_header = "yes"\n')
    with pytest.raises(PolicyUnreadable, match="arm_header: expected true or false, got 'yes'"):
        read_policy(file)


@pytest.mark.parametrize("width", [80, 120, None])
def test_the_page_and_the_list_of_environments_fit(width: int | None):
    freeze = resources.Freeze(freeze="eve", reason="nobody is here", from_ms=1, until_ms=1_700_000_000_000)
    frozen = resources.Environment(name="environments/production", freezes=[freeze], policy_sha256="a" * 64)
    page = page_text({column.name.lower(): column.cell(frozen) for column in columns.ENVIRONMENT}, width)
    assert "eve from 1970-01-01 00:00:00 until 2023-11-14 22:13:20 (nobody is here)" in " ".join(page.split())
    assert "bake_seconds              3600 (default)" in page
    cells = [column.cell(frozen) for column in columns.ENVIRONMENTS]
    text, left_out = table_text(columns.ENVIRONMENTS, [cells], width)
    assert left_out == ([] if width is None else ["POLICY"])
    for line in (*page.split("\n"), *text.split("\n")):
        assert width is None or len(line) <= width


def test_a_freeze_that_has_ended_is_not_shown():
    ended, lasting = (resources.Freeze(freeze=name, until_ms=until) for name, until in (("eve", 1_000), ("new", 1_001)))
    frozen = resources.Environment(name="environments/production", freezes=[ended, lasting])
    for each in (columns.ENVIRONMENT, columns.ENVIRONMENTS):
        cells = {column.name: column.cell(frozen) for column in columns.with_freezes_at(each, 1_000)}
        assert cells["FREEZES"] == "new until 1970-01-01 00:00:01"


def test_the_page_shows_whose_approvals_an_environment_asks_for():
    asked = facts.ApprovalPolicy(roles=[facts.RoleCount(role=facts.ROLE_APPROVER, count=2)], author_counts=True)
    cells = {column.name: column.cell for column in columns.ENVIRONMENT}
    assert cells["approvals"](resources.Environment()) == "none (default)"
    assert cells["approvals"](resources.Environment(approvals=asked)) == "approver = 2, author_counts = true"
