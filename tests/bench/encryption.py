"""How fast the artifact store encrypts and decrypts, and with how much memory beside the plaintext.

Each direction runs in a process of its own, on files of two sizes: memory must not depend on the size. The file lies in
memory, so that no disk is measured, and the digest of the plaintext is left out: every store computes it. The ratios
compare CPU time, which one thread uses, because others may use the machine too.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from headgate.artifacts.encryption.key_file import create_key_file
from tests.bench.results import Results, Slice

MIB = 1 << 20
SIZES_MIB, QUICK_SIZES_MIB = (256, 1_000), (64, 256)
SLICES = 3
ENCRYPT_MB_S, DECRYPT_MB_S, MOST_MIB = 400.0, 1_000.0, 64.0
MEMORY = Path("/dev/shm")
ONE_WAY = """
import json, re, sys, time
from functools import partial
from pathlib import Path
from headgate.artifacts.encryption.encryption import Encryption
from headgate.artifacts.encryption.header import HEADER_BYTES, header_of
from headgate.artifacts.encryption.key_file import KeyFile

way, folder, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
encryption, name = Encryption(KeyFile(folder / "key")), "blobs/bench"
list(encryption.encrypted(name, 1, [b"x"]).content)  # what every process pays once
room = memoryview(bytearray(0 if way == "encrypt" else size))
started, used, held = time.perf_counter(), time.process_time(), len(room)
if way == "encrypt":
    with open(folder / "plain", "rb") as plain, open(folder / "encrypted", "wb") as out:
        new = encryption.encrypted(name, size, iter(partial(plain.read, 4 << 20), b""))
        (folder / "record").write_bytes(new.record)
        for part in new.content:
            out.write(part)
else:
    with open(folder / "encrypted", "rb", buffering=0) as source:
        header = header_of(source.read(HEADER_BYTES))
        record = (folder / "record").read_bytes()
        for part in encryption.decrypted_into(room, name, header, record, source):
            pass
seconds, used = time.perf_counter() - started, time.process_time() - used
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 - held
print(json.dumps({"MB/s": size / seconds / 1e6, "MB per CPU second": size / used / 1e6, "MiB": peak / (1 << 20)}))
"""


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Throughput in MB/s, and the peak of the whole process less the plaintext that its caller holds, in MiB."""
    sizes = QUICK_SIZES_MIB if quick else SIZES_MIB
    figures: dict[tuple[str, int], dict[str, float]] = {}
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else cache) as path:
        folder = Path(path)
        create_key_file(folder / "key")
        for size in sizes:
            with open(folder / "plain", "wb") as plain:
                for _ in range(size):
                    plain.write(os.urandom(MIB))
            for way in ("encrypt", "decrypt"):
                slices = [one_way(way, folder, size * MIB) for _ in range(SLICES)]
                figures[way, size] = results.add(f"{way} {size:,} MiB", "headgate", slices)
    largest = sizes[-1]
    results.compare("encrypt 400 MB/s", figures["encrypt", largest]["MB per CPU second"] / ENCRYPT_MB_S, 1, 2)
    results.compare("decrypt 1 GB/s", figures["decrypt", largest]["MB per CPU second"] / DECRYPT_MB_S, 1, 1.5)
    most = max(each["MiB"] for each in figures.values())
    results.compare(f"{MOST_MIB:g} MiB beside the plaintext, over its own", MOST_MIB / most, 1, 1.2)


def one_way(way: str, folder: Path, size: int) -> Slice:
    """Runs one direction in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", ONE_WAY, way, str(folder), str(size)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(ran.stdout)
    return found
