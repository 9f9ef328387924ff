"""A registry uses all CPU cores, unless the setting pins it to one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.registry.processes import RegistryProcess


@contextmanager
def running(folder: Path, **environ: str) -> Iterator[RegistryProcess]:
    registry = RegistryProcess(f"sqlite://{folder}/log.db", "registry-0", folder, environ)
    registry.start()
    try:
        registry.wait_ready()
        yield registry
    finally:
        registry.stop()


def test_with_the_setting_all_threads_run_on_one_core(tmp_path: Path) -> None:
    with running(tmp_path, HEADGATE_ONE_CORE="true") as registry:
        (cores,) = {frozenset(cores) for cores in registry.cores()}
        assert len(cores) == 1


def test_without_the_setting_the_threads_may_run_on_every_core(tmp_path: Path) -> None:
    with running(tmp_path) as registry:
        assert all(cores == os.sched_getaffinity(0) for cores in registry.cores())
