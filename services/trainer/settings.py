"""What the trainer takes from the environment."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from headgate.domain.address import is_web_address
from headgate.downloads.places import places_of
from headgate.jail.decision import JailSettings
from headgate.jail.port import JailLimits
from headgate.jail.repositories import listed
from headgate.lifecycle.artifact_setting import ArtifactSettings
from headgate.lifecycle.service_parts import replica_name
from headgate.runtime.settings import ABOVE_ZERO, CHECK
from services.trainer.attempt.checkout import SSH_COMMAND
from services.trainer.attempt.remote_data import CACHE_BYTES, DATA_SECONDS
from services.trainer.attempt.tools import DEFAULT_LIMITS
from services.trainer.packages.installing import GIB, Installing
from services.trainer.packages.kept import Kept
from services.trainer.packages.locked import LockedPackages

ENVIRONMENTS = "environments"
"""The folder of the kept environments, below the one that several trainers may share."""


def _require_index(address: str) -> None:
    """Raises ValueError. uv would say only in the first attempt that it cannot read such an address."""
    if not is_web_address(address):
        raise ValueError("expected the address of a package index, such as https://packages.example.com/simple")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ArtifactSettings):
    name: str = replica_name("trainer-0")
    keys: Path
    """Directory whose folder `trainer` has the key for checkpoints."""
    work: Path = field(default_factory=lambda: Path(tempfile.gettempdir()) / "headgate-trainer")
    """Directory for checkouts and trainings."""
    git_credentials: str = ""
    """File with the user names and passwords of private repositories, in the format of git-credential-store."""
    git_ssh_command: str = SSH_COMMAND
    """What git starts to reach a repository by SSH, with the key and the known hosts."""
    data_places: str = field(default="", metadata={CHECK: places_of})
    """The hosts, buckets and folders from which data files may be downloaded, as URLs with spaces between them."""
    data_cache_bytes: int = field(default=CACHE_BYTES, metadata={ABOVE_ZERO: True})
    data_seconds: float = field(default=DATA_SECONDS, metadata={ABOVE_ZERO: True})
    """How long the downloads of one attempt may take."""
    tests_seconds: float = field(default=DEFAULT_LIMITS.tests_seconds, metadata={ABOVE_ZERO: True})
    training_seconds: float = field(default=DEFAULT_LIMITS.training_seconds, metadata={ABOVE_ZERO: True})
    epoch_seconds: float = field(default=DEFAULT_LIMITS.epoch_seconds, metadata={ABOVE_ZERO: True})
    """A training that reports no epoch for this long has failed."""
    checkpoint_seconds: float = DEFAULT_LIMITS.checkpoint_seconds
    """Between two checkpoints of a training: what a lost trainer did since the last one is trained again."""
    package_index: str = field(default="", metadata={CHECK: _require_index})
    """Address of the index that the packages of locks come from. Without it, the settings of uv and of pip count."""
    packages_seconds: float = field(default=Installing().seconds, metadata={ABOVE_ZERO: True})
    """For building the environment of one lock."""
    packages_kept: int = field(default=20, metadata={ABOVE_ZERO: True})
    """The most environments that are kept for later attempts."""
    trusted_repositories: str = field(default="", metadata={CHECK: listed})
    """Repositories, with spaces between them, whose code runs as the trainer's own user where there is no jail."""
    network_repositories: str = field(default="", metadata={CHECK: listed})
    """Repositories, with spaces between them, whose code may connect to ports 80 and 443 from its jail."""
    jail_memory_gib: float = field(default=JailLimits().memory_bytes / GIB, metadata={ABOVE_ZERO: True})
    """Of the private memory of each process in a jail."""
    jail_processes: int = field(default=JailLimits().processes, metadata={ABOVE_ZERO: True})
    """Processes and threads in one jail at one time."""
    jail_file_gib: float = field(default=JailLimits().file_bytes / GIB, metadata={ABOVE_ZERO: True})
    """The largest file that the code of a commit may write."""
    jail_folder_gib: float = field(default=JailLimits().folder_bytes / GIB, metadata={ABOVE_ZERO: True})
    """All files of a stage of an attempt together."""
    jail_cpus: int = 0
    """How many processors a jail uses; 0 for all."""
    packages_gib: float = field(default=Installing().max_bytes / GIB, metadata={ABOVE_ZERO: True})
    """The most that the kept environments take together, and one alone."""

    def jail(self) -> JailSettings:
        """What the code of commits may do."""
        limits = JailLimits(
            memory_bytes=int(self.jail_memory_gib * GIB),
            processes=self.jail_processes,
            file_bytes=int(self.jail_file_gib * GIB),
            folder_bytes=int(self.jail_folder_gib * GIB),
            cpus=self.jail_cpus,
        )
        return JailSettings(listed(self.trusted_repositories), listed(self.network_repositories), limits)

    def packages(self) -> LockedPackages:
        """How the packages of locks are installed and kept."""
        max_bytes = int(self.packages_gib * GIB)
        kept = Kept(Path(self.work) / ENVIRONMENTS, self.packages_kept, max_bytes)
        return LockedPackages(kept, Installing(self.package_index, self.packages_seconds, max_bytes))
