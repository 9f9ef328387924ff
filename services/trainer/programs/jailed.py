"""How one stage of an attempt runs in a jail, as the trainer has it decided for its repository."""

from dataclasses import dataclass
from pathlib import Path

from headgate.jail.port import Confined, Jail, JailLimits


@dataclass(frozen=True, slots=True)
class Jailing:
    """The jail of an attempt."""

    jail: Jail
    limits: JailLimits
    has_network: bool = False


@dataclass(frozen=True, slots=True)
class Jailed:
    """What a stage sees in its jail. All else of the machine is not there."""

    jailing: Jailing
    read_only: tuple[Path, ...]
    writable: tuple[Path, ...]

    def confined(self, command: tuple[str, ...], directory: Path, environment: dict[str, str]) -> Confined:
        own = self.jailing
        return Confined(command, directory, environment, self.read_only, self.writable, own.limits, own.has_network)

    def give(self, folder: Path) -> None:
        """Gives the code in the jail the folder, after the trainer has filled it and before the code runs."""
        self.jailing.jail.give(folder)
