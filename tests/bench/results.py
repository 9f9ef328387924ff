"""The results of measurements: medians over alternating slices, and ratios to a peer, each with its goal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Slice = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times better Headgate is. The value must reach `least`, and should reach `goal`."""

    what: str
    value: float
    least: float
    goal: float

    @property
    def met(self) -> bool:
        return self.value >= self.least


@dataclass(slots=True)
class Results:
    """The rows of the table and the ratios below it, in the order of their measurement."""

    rows: list[tuple[str, str, dict[str, float]]] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, who: str, slices: Sequence[Slice]) -> dict[str, float]:
        """Adds a row with the median of each figure over the slices, and returns it."""
        figures = {name: median(each[name] for each in slices) for name in slices[0]}
        self.rows.append((what, who, figures))
        return figures

    def compare(self, what: str, value: float, least: float, goal: float) -> None:
        self.ratios.append(Ratio(what, value, least, goal))

    def as_json(self) -> dict[str, object]:
        return {
            "versions": self.versions,
            "rows": [{"what": what, "who": who, **figures} for what, who, figures in self.rows],
            "ratios": [
                {"what": r.what, "ratio": r.value, "least": r.least, "goal": r.goal, "met": r.met} for r in self.ratios
            ],
            "notes": self.notes,
        }

    def as_text(self) -> str:
        lines = [" ".join(f"{name} {version}" for name, version in self.versions.items()), ""]
        for what, who, figures in self.rows:
            shown = "  ".join(f"{name} {number(value)}" for name, value in figures.items())
            lines.append(f"{what:<28} {who:<24} {shown}")
        lines.append("")
        for r in self.ratios:
            verdict = "met" if r.met else "MISSED"
            lines.append(f"{r.what:<44} {r.value:6.2f}x  at least {r.least:g}x, goal {r.goal:g}x  {verdict}")
        return "\n".join([*lines, *self.notes])


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
