"""The four stories of the demo, as a test."""

from pathlib import Path

import pytest

from examples import demo


@pytest.mark.timeout(1200)
def test_a_commit_goes_live_a_better_one_replaces_it_and_bad_ones_do_not_stay(tmp_path: Path) -> None:
    demo.run_stories(tmp_path)
