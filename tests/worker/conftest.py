"""A log that can fail, for the workers' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.log import topics
from tests.worker.outages import FailingLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FailingLog]:
    log = FailingLog(tmp_path / "log.db")
    log.create_topics(topics.TOPICS)
    yield log
    log.close()
