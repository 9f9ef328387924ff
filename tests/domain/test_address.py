"""An address of a server is host:port, and the port is one that exists."""

import pytest

from headgate.domain.address import is_address


@pytest.mark.parametrize("text", ["127.0.0.1:1", "registry:7400", "[::1]:65535", "dns:///registry.example:7400"])
def test_a_host_with_a_port_is_an_address(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:99999", "host:65536", "host:0", "host:-1", "host:", "host", ":7400", "host:7400x", "a b:7400"]
)
def test_a_port_that_does_not_exist_and_any_other_text_is_no_address(text: str) -> None:
    assert not is_address(text)
