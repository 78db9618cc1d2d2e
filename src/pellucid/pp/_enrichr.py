from __future__ import annotations

import difflib
import json
import logging
import os
import re
from pathlib import Path

import pooch

logger = logging.getLogger("pellucid")


def enrichr_library(name: str, organism: str) -> dict[str, list[str]]:
    """Gene sets of a library of Enrichr, from the cache if it was read before."""
    readable = re.sub(r"[^\w.-]+", "_", f"{organism.lower()}.{name}")
    cached = Path(pooch.os_cache("pellucid")) / "enrichr" / f"{readable}.json"
    if cached.is_file():
        return json.loads(cached.read_text(encoding="utf-8"))
    import gseapy  # takes two seconds, and only the name of a library needs it

    logger.info("Asking Enrichr for the library %s.", name)
    try:
        available = gseapy.get_library_name(organism=organism)
        # gseapy leaves out sets of more than 2,000 genes unless told otherwise.
        found = name in available
        sets = gseapy.get_library(name, organism=organism, max_size=10**9) if found else {}
    except OSError as error:  # every failure of the network is one
        raise ConnectionError(
            f"No file is called {name!r}, so it was looked for among the libraries of Enrichr, "
            f"which could not be reached ({type(error).__name__}). Give the path of a GMT file, "
            "or try again with a network."
        ) from error
    if not found:
        near = difflib.get_close_matches(name, available, n=3, cutoff=0.4)
        raise ValueError(
            f"{name!r} is neither a file nor one of the {len(available)} libraries that Enrichr "
            f"has for organism {organism!r}"
            + (f"; near it: {', '.join(map(repr, near))}." if near else ".")
        )
    cached.parent.mkdir(parents=True, exist_ok=True)
    partial = cached.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(sets), encoding="utf-8")
    partial.replace(cached)  # another process sees all of it or nothing
    logger.info("Kept the library %s in %s.", name, cached)
    return sets
