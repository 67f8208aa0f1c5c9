"""Tables on a console of any width: where one would not fit, its rows become lines and no value is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_LEAST_TEXT = 24
"""Columns that a last column of running text may be narrowed to."""
_FRAME_A_COLUMN = 3


def show_table(
    console: Console,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    has_figures: bool = False,
    ends_in_text: bool = False,
) -> None:
    """Print rows below each other, or each as lines ``header: value`` where the console is too narrow for a table.

    ``has_figures``: cells stand to the right. ``ends_in_text``: the last column may be folded. Addresses and figures
    are never split.
    """
    widths = _widths(header, rows, ends_in_text=ends_in_text)
    if sum(widths) + _FRAME_A_COLUMN * len(widths) + 1 > console.width:
        _lines(console, title, header, rows)
        return
    table = Table(title=title, title_justify="left", show_header=any(header))
    for name, width in zip(header, widths, strict=True):
        table.add_column(name, overflow="fold", justify="right" if has_figures else "left", min_width=width)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _widths(header: Sequence[str], rows: Sequence[Sequence[str]], *, ends_in_text: bool) -> list[int]:
    """The least of each column: no cell is folded, headers may be between words."""
    widths = [
        max([cell_len(word) for word in name.split()] + [cell_len(line) for cell in cells for line in cell.split("\n")])
        if name or cells
        else 0
        for name, *cells in zip(header, *rows, strict=True)
    ]
    if ends_in_text:
        widths[-1] = min(widths[-1], _LEAST_TEXT)
    return widths


def _lines(console: Console, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A row begins with its first cell; the others are named and set in."""
    console.print(title)
    for first, *others in rows:
        opening = f"{header[0]} {first}".strip()
        told = [
            f"{name}: {text}" if name else text
            for name, cell in zip(header[1:], others, strict=True)
            if (text := cell.replace("\n", ", "))
        ]
        if len(told) == 1 and not header[1]:
            console.print(f"{opening}: {told[0]}", soft_wrap=True)
            continue
        console.print(opening, soft_wrap=True)
        for line in told:
            console.print(f"  {line}", soft_wrap=True)
