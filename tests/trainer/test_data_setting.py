"""The trainer's settings of data: wrong ones are refused before it waits for anything."""

from pathlib import Path

import pytest

from headgate.runtime.settings import SettingsError, from_env
from services.trainer.app import data_access
from services.trainer.settings import Settings

REQUIRED = {"HEADGATE_LOG": "sqlite:///log.db", "HEADGATE_ARTIFACTS": "memory:///", "HEADGATE_KEYS": "keys"}


def settings(**data: str) -> Settings:
    return from_env(Settings, REQUIRED | {f"HEADGATE_{name.upper()}": text for name, text in data.items()})


def test_the_places_the_credentials_and_the_bound_of_the_cache_come_from_the_settings(tmp_path: Path) -> None:
    given = settings(
        data_places="https://data.example.com s3://datasets?region=eu-central-1",
        data_cache_bytes="1000",
        data_seconds="5",
        git_credentials="/secrets/credentials",
        work=str(tmp_path),
    )
    access = data_access(given)
    assert access.web.places.of("s3://datasets/rows.csv").region == "eu-central-1"
    assert (access.web.credentials, access.seconds) == ("/secrets/credentials", 5)
    assert (access.cache.folder, access.cache.max_bytes) == (tmp_path / "data-cache", 1000)


def test_every_wrong_place_is_named() -> None:
    with pytest.raises(SettingsError, match=r"HEADGATE_DATA_PLACES=.*: one: expected .*; ftp://two: expected https://"):
        settings(data_places="one ftp://two https://three")


@pytest.mark.parametrize("name", ["data_cache_bytes", "data_seconds"])
def test_a_bound_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="expected more than 0"):
        settings(**{name: "0"})
