from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class ResumedRows:
    """Rows of a long computation by what they are about, kept in a file as they are found.

    The first line of the file says of which data and settings it is, every other one is a row. A
    last line that was cut short is left out.

    Parameters
    ----------
    path
        File to read and to append to; rows are kept in memory alone if `None`.
    of
        The data and settings, as JSON holds them.

    Raises
    ------
    ValueError
        If the file is of others, or is none of these files.
    """

    def __init__(self, path: str | Path | None, of: dict[str, Any]):
        self._path = None if path is None else Path(path)
        self._known: dict[str, dict[str, Any]] = {}
        if self._path is not None and self._path.exists() and self._path.stat().st_size:
            self._read(self._path, of)
        else:
            self._append({"of": of})

    def _read(self, path: Path, of: dict[str, Any]) -> None:
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        try:
            first, *rows = [json.loads(line) for line in whole.splitlines()]
            before = first["of"]
            self._known = {_key(row["about"]): row["found"] for row in rows}
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"resume={str(path)!r} is no file of this function's rows; pass another "
                "path, or remove it."
            ) from None
        if before != of:
            other = {name for name in before | of if before.get(name) != of.get(name)}
            listed = "; ".join(
                f"{name}: {before.get(name)} there, {of.get(name)} here" for name in sorted(other)
            )
            raise ValueError(
                f"resume={str(path)!r} holds rows of other data or settings ({listed}); "
                "pass another path, or the settings of that file."
            )
        if whole != text:
            path.write_text(whole, encoding="utf-8")

    def __call__(
        self, about: dict[str, Any], find: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What is about, and what was found of it: now, or before."""
        key = _key(about)
        if key not in self._known:
            self._known[key] = find()
            self._append({"about": about, "found": self._known[key]})
        return {**about, **self._known[key]}

    def _append(self, line: dict[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _key(about: dict[str, Any]) -> str:
    return json.dumps(about, sort_keys=True)
