"""uv gets the user's pip settings, and the user's own uv settings take precedence."""

from headgate.runtime.uv_settings import pip_settings, uv_settings


def test_settings_of_the_environment_take_precedence_over_files() -> None:
    listing = "global.cert='file.pem'\n:env:.cert='variable.pem'\nfreeze.timeout='10'\n"
    assert pip_settings(listing) == {"cert": "variable.pem"}


def test_pip_settings_become_uv_settings() -> None:
    pip = {
        "index-url": "https://mirror.example/",
        "cert": "ca.pem",
        "find-links": "wheels\nmore",
        "default-timeout": "180",
    }
    assert uv_settings(pip, {}) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/",
        "SSL_CERT_FILE": "ca.pem",
        "UV_FIND_LINKS": "wheels,more",
        "UV_HTTP_TIMEOUT": "180",
    }


def test_uv_settings_of_the_user_are_not_changed() -> None:
    assert uv_settings({"index-url": "https://mirror.example/"}, {"UV_INDEX_URL": "https://own.example/"}) == {}
