"""Reads a release policy from a TOML file, with durations in seconds and weights in percent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from headgate.cli.files import read_file
from headgate.domain import approvals
from headgate.domain import policy as policies
from headgate.domain.words import word_of
from headgate.toml_tables import ABSENT, InvalidToml, Table, is_number, read
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts

MAX_BYTES = 64 * 1024
PAUSED_RELEASE = {
    "yields": configuration.PAUSED_RELEASE_YIELDS,
    "stays": configuration.PAUSED_RELEASE_STAYS,
}
DURATIONS = ("bake", "prepare_deadline", "no_data_limit", "hold_deadline", "candidate_lease")
JUDGE = ("alpha", "beta", "fail_ratio", "pass_ratio", "pass_ceiling", "fail_ceiling")
OTHERS = ("paused_weight_percent", "paused_release", "arm_header", "steps", "judge", "approvals")
AUTHOR_COUNTS = "author_counts"
KEYS = f"a number from 1 to {policies.MAX_KEYS}, or no min_keys for 1"
STEP = ("weight_percent", "min_seconds", "min_keys")

MS_PER_SECOND = 1000
BPS_PER_PERCENT = 100
ANY_FRACTION = 0
"""For a field that stores fractions as they are."""
FURTHEST = 2**53
"""A larger number is stored as this one. Every limit of a policy is far below it and refuses it."""
CLOSE_TO_WHOLE = 1e-6


class PolicyUnreadable(Exception):
    """The file is not a release policy. The message names the file, and for each problem the key and the rule."""


@dataclass(frozen=True, slots=True)
class EnvironmentPolicy:
    """What a policy file says of an environment: how its releases go, and whose approvals they need, if anybody's."""

    release: configuration.ReleasePolicy
    approvals: facts.ApprovalPolicy | None


def read_policy(file: Path) -> configuration.ReleasePolicy:
    """Reads the file as the policy of one release, which cannot choose who must approve it.

    Raises PolicyUnreadable, with every problem, and CommandFailed for a file that cannot be read.
    """
    found = read_environment_policy(file)
    if found.approvals is not None:
        raise PolicyUnreadable(
            f"{file} is no policy for one release: approvals are asked for by the environment alone, in"
            " `headgate environment set-policy`"
        )
    return found.release


def read_environment_policy(file: Path) -> EnvironmentPolicy:
    """Reads the file. A key that is missing keeps its default.

    Raises PolicyUnreadable, with every problem, and CommandFailed for a file that cannot be read.
    """
    try:
        root = read(read_file(file), file.name, MAX_BYTES)
        asked = _approvals(root)
        return EnvironmentPolicy(_PolicyReader().policy(root), asked)
    except InvalidToml as error:
        raise PolicyUnreadable("\n  ".join((f"{file} is not a release policy:", *error.problems))) from error


@dataclass(frozen=True, slots=True)
class _Origin:
    """The key of the file that a field of the policy comes from. The field counts whole `per_unit`ths of its unit."""

    table: Table
    key: str
    per_unit: int = ANY_FRACTION

    @property
    def got(self) -> Any:
        return self.table.values.get(self.key, ABSENT)

    def read_into(self, message: Message, field: str) -> bool:
        """Stores the number, when there is one. Returns whether it can be stored as it is."""
        if self.got is ABSENT:
            return True
        if not is_number(self.got):
            self.table.wrong(self.key, "a finite number" if isinstance(self.got, float) else "a number", self.got)
            return False
        if not self.per_unit:
            setattr(message, field, self.got)
            return True
        number = max(-FURTHEST, min(FURTHEST, self.got * self.per_unit))
        if abs(number - round(number)) > CLOSE_TO_WHOLE:
            self.table.wrong(self.key, f"a multiple of {1 / self.per_unit:g}", self.got)
            return False
        setattr(message, field, round(number))
        return True


def _approvals(root: Table) -> facts.ApprovalPolicy | None:
    table = root.table("approvals", optional=True)
    if not table.present:
        return None
    asked = facts.ApprovalPolicy(
        author_counts=bool(table.value(AUTHOR_COUNTS, "true or false", lambda got: isinstance(got, bool), False))
    )
    names = {word_of(facts.Role, role): role for role in approvals.COUNTED_ROLES}
    for name, role in names.items():
        if name in table.values:
            asked.roles.add(role=role, count=table.whole(name, 1, approvals.MAX_COUNT) or 0)
    table.no_more((*names, AUTHOR_COUNTS))
    if not asked.roles:
        table.wrong_whole("a number of people for at least one of " + ", ".join(names))
    return asked


class _PolicyReader:
    """Reads one file, and remembers where each field came from and which ones have a problem already."""

    def __init__(self) -> None:
        self._origins: dict[str, _Origin] = {}
        self._wrong: set[str] = set()

    def policy(self, root: Table) -> configuration.ReleasePolicy:
        policy = configuration.ReleasePolicy()
        for name in DURATIONS:
            self._number(f"{name}_ms", policy, _Origin(root, f"{name}_seconds", MS_PER_SECOND))
        self._number("paused_weight_bps", policy, _Origin(root, "paused_weight_percent", BPS_PER_PERCENT))
        if "paused_release" in root.values:
            policy.paused_release = PAUSED_RELEASE.get(
                root.choice("paused_release", PAUSED_RELEASE) or "", configuration.PAUSED_RELEASE_UNSPECIFIED
            )
        policy.arm_header = bool(root.value("arm_header", "true or false", lambda got: isinstance(got, bool), False))
        if root.values.get("steps") == []:
            root.wrong("steps", "a table under [[steps]] for each step, or no steps for the default ones", [])
        for number, table in enumerate(root.tables("steps")):
            self._step(table, policy.steps.add(), f"steps[{number}].")
        self._judge(root.table("judge", optional=True), policy.judge)
        root.no_more((*(f"{name}_seconds" for name in DURATIONS), *OTHERS))
        self._note_faults(root, policy)
        root.refuse_problems()
        return policy

    def _step(self, table: Table, step: configuration.Step, prefix: str) -> None:
        self._number(f"{prefix}weight_bps", step, _Origin(table, "weight_percent", BPS_PER_PERCENT))
        self._number(f"{prefix}min_duration_ms", step, _Origin(table, "min_seconds", MS_PER_SECOND))
        self._number(f"{prefix}min_keys", step, _Origin(table, "min_keys", per_unit=1))
        if not step.min_keys and table.values.get("min_keys") == 0:
            table.wrong("min_keys", KEYS, table.values["min_keys"])
        if "min_seconds" not in table.values:
            table.wrong("min_seconds", "a number", ABSENT)
        table.no_more(STEP)

    def _judge(self, table: Table, judge: configuration.JudgePolicy) -> None:
        for name in JUDGE:
            self._number(f"judge.{name}", judge, _Origin(table, name))
        table.no_more(JUDGE)

    def _number(self, path: str, message: Message, origin: _Origin) -> None:
        self._origins[path] = origin
        if not origin.read_into(message, path.rpartition(".")[2]):
            self._wrong.add(path)

    def _note_faults(self, root: Table, policy: configuration.ReleasePolicy) -> None:
        for fault in policies.faults(policies.resolve(policy)):
            origin = self._origins.get(fault.field)
            if origin is None:
                root.wrong(fault.field, fault.limit.words(), fault.value)
            elif fault.field not in self._wrong:
                origin.table.wrong(origin.key, fault.limit.words(origin.per_unit or 1), origin.got)
