"""What the pilot knows of one release at one moment. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from headgate.domain import policy as policies
from headgate.domain.freezes import freezes_at
from headgate.domain.state import EnvironmentState, ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.deployer.evidence import Gateway, GatewayReports
from services.deployer.judge import judge
from services.deployer.release_commands import release_command


@dataclass(frozen=True, slots=True)
class _Answers:
    """How many answers an arm gave in a release. Every late one is bad, too."""

    all: int
    bad: int
    late: int

    @classmethod
    def of(cls, arm: str, strata: Iterable[facts.Stratum]) -> "_Answers":
        counted = [
            tuple(getattr(stratum, f"{arm}_{name}") for name in ("requests", "bad_requests", "late_requests"))
            for stratum in strata
        ]
        return cls(*map(sum, zip(*counted, strict=True))) if counted else cls(0, 0, 0)

    @property
    def late_share(self) -> float:
        return self.late / self.all if self.all else 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything the pilot knows of one release at one moment."""

    model: str
    release: resources.Release
    policy: configuration.ReleasePolicy
    gateways: tuple[Gateway, ...]
    silent: tuple[str, ...]
    judgement: facts.Judgement
    environment_freezes: tuple[resources.Freeze, ...]
    now_ms: int

    @property
    def freezes(self) -> tuple[resources.Freeze, ...]:
        """The freezes in which the release must not move forward now, the one that ends last first."""
        return self.environment_freezes if self.frozen_for(self.release) else ()

    def frozen_for(self, release: resources.Release) -> bool:
        """Whether a release of this environment must not move forward now.

        An undo goes back, and a freeze never stops a way back.
        """
        return bool(self.environment_freezes) and not release.undo_of

    @property
    def served_ms(self) -> int:
        """How long all gateways have served the present weights."""
        return self.now_ms - self.release.applied_at_ms

    @property
    def stratum(self) -> facts.Stratum:
        """The counts under the present weights."""
        strata = [stratum for stratum in self.judgement.strata if stratum.epoch == self.release.epoch]
        return max(strata, key=lambda stratum: stratum.candidate_keys, default=facts.Stratum())

    @property
    def needed_keys(self) -> int:
        """How many keys the candidate needs in the present step."""
        return policies.needed_keys(self.policy.steps[self.release.step])

    @property
    def is_last_step(self) -> bool:
        """Whether the release is in the last step of its policy."""
        return self.release.step + 1 == len(self.policy.steps)

    @property
    def lagging(self) -> list[str]:
        """Live gateways that do not serve the present weights yet."""
        return [each.name for each in self.gateways if each.route(self.model).epoch < self.release.epoch]

    @property
    def unready(self) -> list[str]:
        """Live gateways that have not loaded the candidate."""
        candidate = self.release.candidate
        return [each.name for each in self.gateways if candidate not in each.route(self.model).ready_versions]

    @property
    def has_data(self) -> bool:
        """Whether the candidate got a request under the present weights."""
        return self.stratum.candidate_requests > 0

    @property
    def late_answers(self) -> str:
        """The candidate's late answers, in words, when they are what left the judge undecided; else empty.

        They alone are then more than the share of bad answers that is fine, more than stable's share of late ones, and
        at least half of the candidate's bad answers.
        """
        candidate, stable = (_Answers.of(arm, self.judgement.strata) for arm in ("candidate", "stable"))
        most = max(self.policy.judge.pass_ceiling, stable.late_share)
        if candidate.late_share <= most or 2 * candidate.late < candidate.bad:
            return ""
        of_stable = f"{stable.late} of {stable.all} stable ones"
        return f"{candidate.late} of {candidate.all} candidate answers were late, and {of_stable}."

    def command(self, step: str, payload: Message) -> commands.Command:
        """A command about this release."""
        return release_command(self.model, self.release, step, payload)


def observe(
    state: ModelState,
    release: resources.Release,
    environments: Mapping[str, EnvironmentState],
    reports: GatewayReports,
    now_ms: int,
) -> Observation:
    """Collects everything the pilot knows of a release."""
    policy = policies.resolve(release.policy)
    return Observation(
        model=state.name,
        release=release,
        policy=policy,
        gateways=reports.gateways(release.environment),
        silent=reports.silent(release.environment, policy.candidate_lease_ms / 1000),
        judgement=judge(policy.judge, reports.strata(state.name, release)),
        environment_freezes=freezes_at(environments.get(release.environment), now_ms),
        now_ms=now_ms,
    )
