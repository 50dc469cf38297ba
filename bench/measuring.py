"""Interleaved series: A B A B A B, median and interquartile range, the load printed."""

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: GOALS.md asks for at least five repeats.
REPEATS = 5


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        low, _, high = statistics.quantiles(self.values, n=4)
        return low, high

    def over(self, other: "Series") -> float:
        """The median of the ratios, turn by turn: a machine that slows down slows both alike."""
        return statistics.median(a / b for a, b in zip(self.values, other.values, strict=True))

    def line(self, unit: str) -> str:
        low, high = self.quartiles
        return f"  {self.name:<44} {self.median:>12,.3f} {unit}  ({low:,.3f} to {high:,.3f})"


def interleaved(
    cases: Mapping[str, Callable[[], float]], unit: str, repeats: int = REPEATS
) -> dict[str, Series]:
    """Run every case once, then every case again, `repeats` times; print and return them.

    A case returns its own figure (a rate or a time), so that setting up does not count.
    """
    values: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            values[name].append(case())
    series = {name: Series(name, tuple(v)) for name, v in values.items()}
    for one in series.values():
        print(one.line(unit))
    print(f"  load {' '.join(f'{x:.2f}' for x in os.getloadavg())}, {repeats} repeats, interleaved")
    return series


def goal(what: str, reached: float, wanted: float, *, at_most: bool = False) -> bool:
    """Print one ratio beside its goal; True if it is met."""
    met = reached <= wanted if at_most else reached >= wanted
    sign = "<=" if at_most else ">="
    print(f"  {'ok  ' if met else 'MISS'} {what}: {reached:,.3f} (goal {sign} {wanted})")
    return met
