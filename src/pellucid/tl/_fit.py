from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData


@contextmanager
def undone_on_failure(adata: AnnData) -> Iterator[None]:
    """A failed call leaves no trace, though scvi-tools puts identifiers and covariates there."""
    uns, obsm = dict(adata.uns), set(adata.obsm)
    try:
        yield
    except BaseException:
        adata.uns.clear()
        adata.uns.update(uns)
        for key in set(adata.obsm) - obsm:
            del adata.obsm[key]
        raise
