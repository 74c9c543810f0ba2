"""Figures as a table that people read."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Figure, short

_HEAD = ("figure", "unit", "ours", "floor", "ratio", "lowest", "highest", "target")


def table(figures: Sequence[Figure]) -> str:
    """A row per figure, and below the rows what the floors are and what else there is to say."""
    rows = [_HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    lines += ["", "ours and floor: medians; ratio: the median, lowest and highest of the pairs' ratios", ""]
    for figure in figures:
        lines.append(f"{figure.name}: floor is {figure.floor_is}; {len(figure.pairs)} pairs")
        lines += [f"    {note}" for note in figure.notes]
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    numbers = (
        short(figure.ours),
        short(figure.floor),
        *(f"{ratio:.2f}" for ratio in (figure.ratio, figure.low, figure.high)),
    )
    target = f"target {figure.target.limit:,g}: {'met' if figure.met else 'missed'} ({figure.target})"
    return figure.name, figure.unit, *numbers, target


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """Words to the left, numbers to the right."""
    words = (0, 1, len(_HEAD) - 1)
    return [
        text.ljust(width) if column in words else text.rjust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
