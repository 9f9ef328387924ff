"""A file on a device's disk is read as it was written, or as it was before; never as anything else."""

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.edge.sealed_file import BEFORE, read_sealed, unsealed, write_sealed


def test_a_file_that_was_never_written_has_no_content(tmp_path):
    assert read_sealed(tmp_path / "routes") is None


def test_the_newest_content_is_read(tmp_path):
    for content in (b"first", b"", b"third"):
        write_sealed(tmp_path / "routes", content)
        assert read_sealed(tmp_path / "routes") == content


@given(first=st.binary(max_size=60), second=st.binary(max_size=60), cut=st.integers(0, 200))
def test_a_torn_file_gives_the_content_before_it(tmp_path_factory, first, second, cut):
    file = tmp_path_factory.mktemp("torn") / "routes"
    write_sealed(file, first)
    write_sealed(file, second)
    whole = file.read_bytes()
    torn = whole[: cut % len(whole)]
    file.write_bytes(torn)
    assert read_sealed(file) == first
    file.unlink()  # the power went between the two renames
    assert read_sealed(file) == first
    file.with_name(file.name + BEFORE).write_bytes(torn)
    assert read_sealed(file) is None


@given(content=st.binary(max_size=60), place=st.integers(0), bit=st.integers(0, 7))
def test_a_changed_bit_anywhere_is_noticed(tmp_path_factory, content, place, bit):
    file = tmp_path_factory.mktemp("bit") / "routes"
    write_sealed(file, content)
    data = bytearray(file.read_bytes())
    data[place % len(data)] ^= 1 << bit
    assert unsealed(bytes(data)) is None
    assert unsealed(file.read_bytes()) == content
