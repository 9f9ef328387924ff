"""The programs of `make fuzz` work, and find nothing in a few requests."""

import random

from tests.fuzz.__main__ import fuzz, targets

SEED, ROUNDS = 7, 40


def test_a_few_mutated_requests_to_both_servers_find_no_fault():
    with targets() as found:
        faults, statuses = fuzz(found, random.Random(SEED), lambda rounds: rounds < ROUNDS)
    assert faults == []
    assert len(statuses) == 3
    assert all(sum(counted.values()) for counted in statuses.values())
