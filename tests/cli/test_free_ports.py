"""`headgate up --base-port 0` gives its services ports that stay free until they listen."""

import socket
from pathlib import Path

import pytest

from headgate.cli import free_ports as module
from headgate.cli.free_ports import FIRST_PORT, HOST, free_ports, is_free


@pytest.mark.parametrize("kernels", ["10050\t65535\n", "20000 40000", "no numbers", ""])
def test_a_free_port_is_none_that_the_kernel_gives_to_a_connection(
    kernels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OF_CONNECTIONS", tmp_path / "range")
    if kernels:
        module.OF_CONNECTIONS.write_text(kernels)
    low, high = module._range_of_connections()
    found = free_ports(12)
    assert len(set(found)) == 12
    assert [port for port in found if low <= port <= high or port < FIRST_PORT] == []


def test_where_connections_may_have_every_port_any_free_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OF_CONNECTIONS", tmp_path / "range")
    module.OF_CONNECTIONS.write_text("1024 65535")
    assert len(set(free_ports(12))) == 12


def test_a_port_with_a_server_is_not_free() -> None:
    with socket.create_server((HOST, 0)) as server:
        assert not is_free(server.getsockname()[1])
