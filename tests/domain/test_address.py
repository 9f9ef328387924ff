"""An address of a server is host:port, and the port is one that exists."""

import pytest

from headgate.domain.address import has_real_port, is_address, is_host, is_loopback, is_web_address


@pytest.mark.parametrize("text", ["127.0.0.1:1", "registry:7400", "[::1]:65535", "dns:///registry.example:7400"])
def test_a_host_with_a_port_is_an_address(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:99999",
        "host:65536",
        "host:0",
        "host:-1",
        "host:",
        "host",
        ":7400",
        "host:7400x",
        "a b:7400",
        "host:99999:7400",
        "http://host:7400",
        "one:1,two:2",
    ],
)
def test_a_port_that_does_not_exist_and_any_other_text_is_no_address(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]", "::1"])
def test_programs_of_the_same_machine_alone_reach_the_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "[::]", "10.0.0.7", "registry.example", "localhost.example"])
def test_every_other_host_is_reached_from_elsewhere(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("text", ["127.0.0.1", "0.0.0.0", "registry.example", "[::]", "[fe80::1]"])
def test_a_name_or_an_address_without_a_port_is_a_host(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize("text", ["host:7400", "host:99999", "::", "http://host", "a b", ""])
def test_a_host_with_a_port_and_any_other_text_is_no_host(text: str) -> None:
    assert not is_host(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [("http://otel:4317", True), ("s3://bucket/prefix", True), ("http://otel:99999", False), ("http://otel:0", False)],
)
def test_a_url_has_a_port_that_exists_or_none(url: str, expected: bool) -> None:
    assert has_real_port(url) is expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://otel:4317", True),
        ("https://[::1]/simple", True),
        ("https://", False),
        ("https://:8080/simple", False),
        ("http://otel:0", False),
        ("http://otel:99999", False),
        ("http://[", False),
        ("ftp://packages.example", False),
        ("otel:4317", False),
    ],
)
def test_a_web_address_names_a_host_over_http(url: str, expected: bool) -> None:
    assert is_web_address(url) is expected
