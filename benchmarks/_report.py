"""Tables as text and as JSON."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser(name: str, description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """Command line with what every benchmark takes."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--threads", type=int, default=1, help="of every contestant")
    made.add_argument("--repeats", type=int, default=repeats, help="rounds; medians are reported")
    made.add_argument("--json", type=Path, help="where to write the rows too")
    return made


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of the same columns under a title."""
    cells = [list(rows[0]), *([text(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"\n{title}\n")
    for line in (cells[0], ["-" * width for width in widths], *cells[1:]):
        padded = [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print(f"| {' | '.join(padded)} |", flush=True)


def text(value: Any) -> str:
    """A number as it stands in a table."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def machine(threads: int) -> dict[str, Any]:
    """What the numbers were measured on."""
    import numba
    import numpy as np
    import torch

    return {
        "machine": platform.machine(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


def save(path: Path | None, result: dict[str, Any]) -> None:
    """Write a result as JSON where a path is given."""
    if path is not None:
        path.writetext(json.dumps(result, indent=2) + "\n")
