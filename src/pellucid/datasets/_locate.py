from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pooch
import scanpy as sc

ENVIRONMENT_VARIABLE = "PELLUCID_DATASETDIR"


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset folder."""

    path: str
    """Path below the dataset folder."""
    contents: str
    """What the file is, for the message of one that is not found."""
    url: str | None = None
    """Public address, where there is one."""
    sha256: str | None = None
    """Hash of what stands at `url`; `None` where its publisher states none."""


def locate(file: DataFile) -> Path:
    """Path of `file` in the first folder that holds it, or of a fresh download.

    Looks in the folder that the environment variable `PELLUCID_DATASETDIR` names, then in
    `scanpy.settings.datasetdir`, then downloads to the user's cache if there is an address.
    """
    folders = {f"scanpy.settings.datasetdir ({sc.settings.datasetdir})": sc.settings.datasetdir}
    if chosen := os.environ.get(ENVIRONMENT_VARIABLE):
        folders = {f"{ENVIRONMENT_VARIABLE} ({chosen})": Path(chosen).expanduser()} | folders
    for folder in folders.values():
        if (found := folder / file.path).is_file():
            return found.resolve()
    message = (
        f"{file.path} ({file.contents}) not found. Looked in: {', '.join(folders)}. "
        f"Set the environment variable {ENVIRONMENT_VARIABLE} to the folder that holds it."
    )
    if file.url is None:
        raise FileNotFoundError(
            f"{message} It is a processed file without a public address to download it from."
        )
    name = Path(file.path)
    try:
        download = pooch.retrieve(
            file.url,
            known_hash=None if file.sha256 is None else f"sha256:{file.sha256}",
            fname=name.name,
            path=pooch.os_cache("pellucid") / name.parent,
        )
    except OSError as error:  # every failure of the network is one
        raise FileNotFoundError(
            f"{message} It could not be downloaded from {file.url} either: {error}"
        ) from error
    return Path(download)
