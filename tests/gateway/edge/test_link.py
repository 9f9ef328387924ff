"""How a device dials, and what it gives back."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.edge.link import LONGEST_PAUSE_SECONDS, pause_seconds
from services.gateway.resident import unchanged_code

SMAPS = """\
00400000-00500000 r-xp 00000000 08:02 173521 /usr/lib/libmodel.so
Size:               1024 kB
Anonymous:             0 kB
00500000-00600000 r-xp 00000000 08:02 173522 /usr/lib/libpatched.so
Anonymous:             4 kB
00600000-00700000 r--p 00000000 08:02 173521 /usr/lib/libmodel.so
Anonymous:             0 kB
00700000-00800000 rw-p 00000000 00:00 0
Anonymous:             0 kB
00800000-00900000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB"""


@given(failures=st.integers(1, 10**6), chance=st.floats(0, 1))
def test_pauses_grow_up_to_a_limit_and_are_spread(failures, chance):
    pause = pause_seconds(failures, chance)
    assert 0 < pause <= LONGEST_PAUSE_SECONDS
    assert pause <= pause_seconds(failures + 1, chance)
    assert pause_seconds(failures, 1.0) == 2 * pause_seconds(failures, 0.0)


def test_only_code_of_files_that_nobody_changed_is_given_back():
    assert list(unchanged_code(SMAPS.splitlines())) == [(0x400000, 0x100000)]
