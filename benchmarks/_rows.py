"""Rows that are kept as they are found, and their summary."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ._report import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

_LONGEST = 500  # of a line on the screen: a row may hold a number a gene


class Rows:
    """Rows by what they are about: found in a file, or computed and appended to it."""

    def __init__(self, path: Path | None):
        self.path = path
        self.known: dict[str, dict[str, Any]] = {}
        if path is not None and path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self.known[json.dumps(row["about"], sort_keys=True)] = row["found"]

    def __call__(
        self, about: dict[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What is about, and what was found."""
        key = json.dumps(about, sort_keys=True)
        if key not in self.known:
            self.known[key] = compute()
            if self.path is not None:
                with self.path.open("a") as file:
                    print(
                        json.dumps({"about": about, "found": self.known[key]}),
                        file=file,
                        flush=True,
                    )
            print(str({**about, **self.known[key]})[:_LONGEST], file=sys.stderr, flush=True)
        return {**about, **self.known[key]}


def mean_and_range(
    rows: Sequence[dict[str, Any]], by: Iterable[str], values: Iterable[str]
) -> list[dict[str, Any]]:
    """One row for each combination of `by`: how many, and mean (least to most) of `values`."""
    by = tuple(by)
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    result = []
    for of, members in groups.items():
        line: dict[str, Any] = dict(zip(by, of, strict=True)) | {"n": len(members)}
        for name in values:
            found = [row[name] for row in members if row.get(name) is not None]
            if not found:
                line[name] = None
            elif min(found) == max(found):
                line[name] = text(found[0])
            else:
                mean, least, most = (text(float(f(found))) for f in (np.mean, min, max))
                line[name] = f"{mean} ({least} to {most})"
        result.append(line)
    return result
