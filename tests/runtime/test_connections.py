"""A process may open files for all its connections, and a port takes no more connections than there are files."""

import resource

import pytest

from headgate.runtime.connections import FILES, FILES_FOR_OTHERS, MAX_CONNECTIONS, max_connections, raise_file_limit

NO_LIMIT = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of the process; the last one is in force."""
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _which: found[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limit: found.append(limit))
    return found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1_024, 1_048_576), (FILES, 1_048_576)),
        ((1_024, NO_LIMIT), (FILES, NO_LIMIT)),
        ((1_024, 4_096), (4_096, 4_096)),
        ((1_024, 1_024), (1_024, 1_024)),
        ((50_000, 1_048_576), (50_000, 1_048_576)),
        ((NO_LIMIT, NO_LIMIT), (NO_LIMIT, NO_LIMIT)),
    ],
)
def test_a_service_may_open_files_for_all_connections_where_the_system_lets_it(
    before: tuple[int, int], after: tuple[int, int], limits: list[tuple[int, int]]
) -> None:
    limits.append(before)
    raise_file_limit()
    assert limits[-1] == after


@pytest.mark.parametrize(
    ("soft_limit", "connections"),
    [(FILES, MAX_CONNECTIONS), (NO_LIMIT, MAX_CONNECTIONS), (1_024, (1_024 - FILES_FOR_OTHERS) // 2), (100, 1)],
)
def test_both_ports_of_a_gateway_together_leave_files_for_the_rest(
    soft_limit: int, connections: int, limits: list[tuple[int, int]]
) -> None:
    limits.append((soft_limit, NO_LIMIT))
    assert max_connections() == connections
