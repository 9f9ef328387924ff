"""What a paused release waits for: a person, who learns what holds now and not only why it paused. Pure."""

from headgate.domain.pause import candidate_bps, has_fallen_back
from headgate.domain.words import counted, word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.deployer.observation import Observation
from services.deployer.waits import Wait


def wait_for_a_person(observation: Observation) -> Wait:
    """The wait of a paused release.

    Its reason is about the time before the pause. What came later, such as the callers of a canary that had none,
    stands beside it.
    """
    release, present = observation.release, _present(observation)
    now = f" ({present})" if present else ""
    reason = f": {release.paused_reason}" if release.paused_reason else ""
    wait = Wait(f"someone to resume it{now}{reason}")
    yields = bool(release.superseded_from_ms)
    return wait.at_the_latest(release.superseded_from_ms, "a newer version may take its place") if yields else wait


def _present(observation: Observation) -> str:
    """What a person who resumes the release meets now; empty when it has not begun."""
    if observation.release.phase == resources.PHASE_REQUESTED:
        return ""
    if not observation.gateways:
        return "no gateway is live now"
    match observation.release.phase:
        case resources.PHASE_PREPARING:
            return _loaded(observation)
        case resources.PHASE_STEPPING:
            return _counted(observation)
        case _:
            return f"now the candidate has {'requests' if observation.has_data else 'no request yet'}"


def _loaded(observation: Observation) -> str:
    candidate = f"v{observation.release.candidate}"
    if observation.unready:
        return f"now {', '.join(observation.unready)} must still load {candidate}"
    return f"now every live gateway has loaded {candidate}"


def _counted(observation: Observation) -> str:
    release = observation.release
    if has_fallen_back(release):
        return f"until then the candidate gets {candidate_bps(release) / 100:g} % of the traffic"
    keys, needed = observation.stratum.candidate_keys, observation.needed_keys
    verdict = f", verdict {word_of(facts.Verdict, observation.judgement.verdict)}" if observation.is_last_step else ""
    return f"now {keys} of {counted(needed, 'candidate key')}{verdict}"
