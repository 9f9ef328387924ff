"""Which loaded versions give way to others: the rule, and the loader's decisions over a long story."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headgate.artifacts.layout import MODEL_FILE
from headgate.v1 import facts_pb2 as facts
from services.gateway.loading.eviction import RECENT_SECONDS, SESSION_BYTES, Held, Role, giving_way
from services.gateway.loading.next_load import (
    LoadAttempts,
    LoadNow,
    Ready,
    Refuse,
    Rest,
    Sleep,
    State,
    next_step,
    wanted_version,
)

NOW = 1_000.0
LONG_AGO = NOW - RECENT_SECONDS - 1


def held(name, role=Role.LIVE, size=10, used_at=LONG_AGO, is_busy=False):
    return Held((name, 1), role, size, used_at, is_busy)


def names(found):
    return None if found is None else [name for name, _ in found]


def gives_way(needed, role, is_asked, *loaded):
    return names(giving_way(needed, role, is_asked, loaded, NOW))


def test_nothing_gives_way_where_there_is_room():
    assert gives_way(0, Role.CANDIDATE, False, held("a")) == []


def test_the_version_that_answered_least_recently_gives_way_and_one_never_asked_before_all():
    a, b, c = held("a", used_at=LONG_AGO), held("b", used_at=0.0), held("c", used_at=LONG_AGO - 1)
    assert gives_way(10, Role.LIVE, True, a, b, c) == ["b"]
    assert gives_way(20, Role.LIVE, True, a, b, c) == ["b", "c"]


def test_a_version_that_nobody_asks_for_takes_the_place_of_none():
    assert gives_way(10, Role.LIVE, False, held("a", used_at=0.0)) is None


def test_what_answers_now_never_gives_way():
    assert gives_way(10, Role.LIVE, True, held("a", is_busy=True)) is None


def test_a_candidate_takes_the_place_of_idle_versions_and_of_no_version_that_answers():
    idle, recent = held("idle"), held("recent", used_at=NOW - 1)
    assert gives_way(10, Role.CANDIDATE, False, recent, idle) == ["idle"]
    others = held("other", Role.CANDIDATE, used_at=0.0), held("beside", Role.BESIDE_CANDIDATE, used_at=0.0)
    assert gives_way(10, Role.CANDIDATE, True, recent, *others) is None


def test_a_stable_version_that_is_asked_for_takes_the_place_of_a_candidate_before_that_of_stable_ones():
    recent, candidate = held("recent", used_at=NOW - 2), held("candidate", Role.CANDIDATE, used_at=NOW)
    beside = held("beside", Role.BESIDE_CANDIDATE, used_at=0.0)
    assert gives_way(10, Role.LIVE, True, recent, beside, candidate) == ["candidate"]
    assert gives_way(30, Role.LIVE, True, recent, beside, candidate) == ["candidate", "beside", "recent"]


def test_small_versions_stay_where_a_large_one_is_enough():
    assert gives_way(100, Role.LIVE, True, held("small", used_at=1.0), held("large", size=100, used_at=2.0)) == [
        "large"
    ]


HELD = st.builds(
    Held,
    st.tuples(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 3)),
    st.sampled_from(Role),
    st.integers(1, 50),
    st.sampled_from([0.0, LONG_AGO, NOW - 2, NOW]),
    st.booleans(),
)


@given(
    st.lists(HELD, max_size=8, unique_by=lambda each: each.key),
    st.integers(-5, 120),
    st.sampled_from(Role),
    st.booleans(),
)
def test_what_gives_way_is_enough_not_busy_and_every_part_of_it_is_needed(loaded, needed, role, is_asked):
    found = giving_way(needed, role, is_asked, loaded, NOW)
    if found is None:
        return
    sizes = {each.key: each.size_bytes for each in loaded if not each.is_busy}
    freed = sum(sizes[key] for key in found)
    assert freed >= needed
    assert all(freed - sizes[key] < needed for key in found)


LIMIT = 5 * SESSION_BYTES
WEIGHTS = (0, SESSION_BYTES, 6 * SESSION_BYTES)


@dataclass
class Queue:
    is_busy: bool = False


@dataclass
class Counted:
    last_monotonic: float = 0.0


@dataclass
class Version:
    queue: Queue = field(default_factory=Queue)
    statistics: Counted = field(default_factory=Counted)


def wanted(weights, role):
    artifact = facts.Artifact(files=[facts.ArtifactFile(name=MODEL_FILE, size_bytes=weights)])
    return wanted_version(artifact, role)


class Loading(RuleBasedStateMachine):
    """Versions are wanted, asked for, used and loaded in any order, always by the loader's own decisions."""

    def __init__(self):
        super().__init__()
        self.state = State()
        self.now = NOW

    @property
    def used_bytes(self):
        loading = sum(self.state.wanted[key].size_bytes for key in self.state.loading)
        return loading + sum(ready.size_bytes for ready in self.state.ready.values())

    def step(self, for_requests):
        missing = lambda size: self.used_bytes + size - LIMIT  # noqa: E731
        return next_step(self.state, LIMIT, missing, for_requests, self.now)

    @rule(
        number=st.integers(1, 12),
        role=st.sampled_from(Role),
        weights=st.sampled_from([0, SESSION_BYTES, 6 * SESSION_BYTES]),
    )
    def want(self, number, role, weights):
        key = (f"m{number}", 1)
        if key in self.state.wanted:
            return
        self.state.want({**self.state.wanted, key: wanted(weights, role)})

    @rule(number=st.integers(1, 12))
    def want_no_more(self, number):
        left = {
            key: each for key, each in self.state.wanted.items() if key[0] != f"m{number}" or key in self.state.loading
        }
        self.state.want(left)

    @rule(number=st.integers(1, 12))
    def ask(self, number):
        key = (f"m{number}", 1)
        if key in self.state.wanted and key not in self.state.ready and self.state.wanted[key].role.may_sleep:
            self.state.asked.setdefault(key, self.now)

    @precondition(lambda self: self.state.ready)
    @rule(data=st.data(), is_busy=st.booleans())
    def use(self, data, is_busy):
        version = self.state.ready[data.draw(st.sampled_from(sorted(self.state.ready)))].version
        version.statistics.last_monotonic, version.queue.is_busy = self.now, is_busy

    @rule(seconds=st.sampled_from([0.1, 1.0, RECENT_SECONDS + 1]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule(for_requests=st.booleans())
    def take(self, for_requests):
        match step := self.step(for_requests):
            case LoadNow():
                for key in step.giving_way:
                    assert not self.state.ready.pop(key).version.queue.is_busy
                assert step.wanted.role.may_sleep or step.key not in self.state.asked
                self.state.loading.add(step.key)
            case Sleep():
                assert all(self.state.wanted[key].role.may_sleep for key in step.keys)
                assert not set(step.keys) & self.state.asleep
                self.state.asleep.update(step.keys)
            case Refuse():
                assert not self.state.wanted[step.key].role.may_sleep or self.state.wanted[step.key].size_bytes > LIMIT
                self.state.attempts.setdefault(step.key, LoadAttempts()).fail(step.reason, self.now)
            case Rest():
                assert step.seconds is None or step.seconds > 0

    @precondition(lambda self: self.state.loading)
    @rule(data=st.data())
    def finish(self, data):
        key = data.draw(st.sampled_from(sorted(self.state.loading)))
        self.state.loading.discard(key)
        self.state.asleep.discard(key)
        was_asked = self.state.asked.pop(key, None) is not None
        self.state.ready[key] = Ready(Version(), self.state.wanted[key].size_bytes, self.now if was_asked else 0.0)

    @invariant()
    def the_memory_is_never_exceeded(self):
        assert self.used_bytes <= LIMIT

    @invariant()
    def what_is_asked_for_and_fits_beside_what_is_busy_is_loaded_next(self):
        busy = sum(ready.size_bytes for ready in self.state.ready.values() if ready.version.queue.is_busy)
        loading = sum(self.state.wanted[key].size_bytes for key in self.state.loading)
        asked = list(self.state.missing(for_requests=True))
        if asked and all(busy + loading + self.state.wanted[key].size_bytes <= LIMIT for key in asked):
            assert isinstance(self.step(for_requests=True), LoadNow)


TestLoading = Loading.TestCase
TestLoading.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
