"""uv is told what the user has told pip, and what the user has told uv wins."""

import runpy

import pytest

from tests.house.tree import ROOT


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "scripts/uv.py"))


def test_the_environment_wins_over_the_files(script):
    listing = "global.cert='file.pem'\n:env:.cert='variable.pem'\nfreeze.timeout='10'\n"
    assert script["pip_settings"](listing) == {"cert": "variable.pem"}


def test_pips_settings_become_uvs(script):
    pip = {
        "index-url": "https://mirror.example/",
        "cert": "ca.pem",
        "find-links": "wheels\nmore",
        "default-timeout": "180",
    }
    assert script["uv_settings"](pip, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/",
        "SSL_CERT_FILE": "ca.pem",
        "UV_FIND_LINKS": "wheels,more",
        "UV_HTTP_TIMEOUT": "180",
    }


def test_uvs_own_settings_stay(script):
    assert (
        script["uv_settings"]({"index-url": "https://mirror.example/"}, {"UV_INDEX_URL": "https://own.example/"}) == {}
    )
