"""The files of a device are the named ones or none, whatever the disk and the link do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.artifacts.blobs import ArtifactCorrupt, ArtifactMissing, ArtifactTooLarge, StoreUnavailable, digest
from headgate.artifacts.encryption.key_file import KeyFile, create_key_file
from services.gateway.edge.blob_folder import PART, BlobFolder
from services.gateway.edge.encrypted_file import MAGIC

DATA = bytes(range(256)) * 4
NAME = digest(DATA)
ROOM = 1 << 20


class Gateway:
    """Sends a file in parts of 100 bytes. It breaks off after `breaks_after` parts, once."""

    def __init__(self, data=DATA, breaks_after=None):
        self.data, self.breaks_after = data, breaks_after
        self.offsets = []

    def download(self, sha256, offset):
        self.offsets.append(offset)
        if offset > len(self.data):
            raise ArtifactCorrupt("the file has no such offset")
        for number, start in enumerate(range(offset, len(self.data), 100)):
            if number == self.breaks_after:
                self.breaks_after = None
                raise StoreUnavailable("the link was lost")
            yield self.data[start : start + 100], len(self.data)


@pytest.fixture(scope="module", autouse=True)
def _key(tmp_path_factory):
    global KEYS
    file = tmp_path_factory.mktemp("key") / "encryption.key"
    create_key_file(file)
    KEYS = KeyFile(file)


def folder_of(path, gateway, max_bytes=ROOM):
    return BlobFolder(path, gateway.download, max_bytes, KEYS)


def test_a_file_on_the_disk_shows_none_of_its_bytes(tmp_path):
    folder_of(tmp_path, Gateway()).get(NAME)
    assert DATA[:32] not in (tmp_path / NAME).read_bytes()


def test_a_file_of_an_older_device_is_encrypted_when_it_is_read(tmp_path):
    (tmp_path / NAME).write_bytes(DATA)
    gateway = Gateway()
    for _ in range(2):
        assert folder_of(tmp_path, gateway).get(NAME) == DATA
        assert DATA[:32] not in (tmp_path / NAME).read_bytes()
    assert gateway.offsets == []


def test_a_download_whose_parts_were_moved_begins_anew_behind_the_sound_ones(tmp_path):
    blobs = folder_of(tmp_path, Gateway(breaks_after=3))
    with pytest.raises(StoreUnavailable):
        blobs.get(NAME)
    partial = tmp_path / f"{NAME}{PART}"
    content = partial.read_bytes()
    size = (len(content) - len(MAGIC)) // 3
    first, second, third = (content[len(MAGIC) + size * n : len(MAGIC) + size * (n + 1)] for n in range(3))
    partial.write_bytes(MAGIC + first + third + second)
    gateway = Gateway()
    assert folder_of(tmp_path, gateway).get(NAME) == DATA
    assert gateway.offsets == [100]


@given(parts=st.integers(0, 10))
def test_a_download_goes_on_where_it_broke_off(tmp_path_factory, parts):
    gateway = Gateway(breaks_after=parts)
    blobs = folder_of(tmp_path_factory.mktemp("blobs"), gateway)
    with pytest.raises(StoreUnavailable):
        blobs.get(NAME)
    assert blobs.get(NAME) == DATA
    assert gateway.offsets == [0, parts * 100]
    assert blobs.get(NAME) == DATA
    assert len(gateway.offsets) == 2


def test_bytes_that_are_not_the_named_ones_are_refused_and_nothing_of_them_stays(tmp_path):
    blobs = folder_of(tmp_path, Gateway(b"x" + DATA[1:]))
    with pytest.raises(ArtifactCorrupt, match="the bytes that were sent as"):
        blobs.get(NAME)
    assert list(tmp_path.iterdir()) == []
    assert folder_of(tmp_path, Gateway()).get(NAME) == DATA


@given(junk=st.binary(min_size=1, max_size=2_000))
def test_whatever_is_left_of_a_download_ends_in_the_file_or_in_a_new_start(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("blobs")
    (path / f"{NAME}{PART}").write_bytes(junk)
    blobs = folder_of(path, Gateway())
    try:
        found = blobs.get(NAME)
    except ArtifactCorrupt:
        found = blobs.get(NAME)
    assert found == DATA
    assert [file.name for file in path.iterdir()] == [NAME]


@given(place=st.integers(0, len(DATA) - 1), bit=st.integers(0, 7))
def test_a_damaged_file_is_downloaded_again(tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("blobs")
    damaged = bytearray(DATA)
    damaged[place] ^= 1 << bit
    (path / NAME).write_bytes(damaged)
    assert folder_of(path, Gateway()).get(NAME) == DATA


def test_a_file_that_does_not_fit_beside_the_others_is_refused_before_it_is_written(tmp_path):
    (tmp_path / digest(b"another")).write_bytes(b"x" * ROOM)
    with pytest.raises(ArtifactTooLarge, match="the limit is 1 MiB"):
        folder_of(tmp_path, Gateway()).get(NAME)
    folder_of(tmp_path, Gateway()).keep_only({NAME})
    assert folder_of(tmp_path, Gateway()).get(NAME) == DATA


def test_a_name_that_is_no_digest_leads_nowhere(tmp_path):
    with pytest.raises(ArtifactMissing):
        folder_of(tmp_path, Gateway()).get("../secret")
