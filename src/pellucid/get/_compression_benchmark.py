from __future__ import annotations

from typing import TYPE_CHECKING

from pellucid import _keys

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

_OF = ["transform", "method", "n_latent"]


def compression_benchmark(
    adata: AnnData, *, metric: str | None = None, key: str = _keys.COMPRESSION_BENCHMARK
) -> pd.DataFrame:
    """Mean and standard deviation over repeats of how well each method rebuilds cells.

    Parameters
    ----------
    adata
        With the result of :func:`pellucid.tl.compression_benchmark`.
    metric
        `"pcc"`, `"spearman"`, `"em"`, `"mae"`, `"gene_pcc"`, `"cell_pcc"` or `"seconds"`, for a
        wide table; all of them in a long one if `None`.
    key
        Key of the result in `adata.uns`.

    Returns
    -------
    pandas.DataFrame
        A row for each `transform`, `method`, `n_latent` and `metric`: `mean`, `std` over the
        repeats (NaN if there is but one) and `n_repeats`. With `metric`, a row for each
        `transform` and `method`, and for each `n_latent` a column of `mean` and one of `std`. The
        method `mean`, which codes a cell as no number, has `n_latent` 0. Methods are in the order
        in which they were given.

        `mean` and `std` are NaN unless the metric is finite in all repeats: a mean of those in
        which a method did not fail would flatter it. Those of `gene_pcc` and `cell_pcc` are NaN
        for every method if in a split no gene, or no cell, varies among the test cells.

    Raises
    ------
    KeyError
        If there is no result under `key`.
    ValueError
        If `metric` is unknown.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.tl.compression_benchmark(
    ...     adata, methods=["svd", "snmf"], n_latent=[5, 10], n_repeats=2, train_size=0.1
    ... )
    >>> table = pld.get.compression_benchmark(adata, metric="gene_pcc")
    >>> float(table.loc[("log", "mean"), ("mean", 0)])
    0.0
    """
    results = _keys.require(adata, "uns", key, "tl.compression_benchmark")["results"]
    metrics = [name for name in results if name not in (*_OF, "repeat")]
    if metric is not None and metric not in metrics:
        raise ValueError(f"metric={metric!r} is unknown; choose from {', '.join(metrics)}.")
    groups = results.astype({"transform": str, "method": str}).groupby(_OF, sort=False)
    table = groups[metrics].agg(["mean", "std", "count"]).stack(level=0, future_stack=True)
    table = table.rename_axis([*_OF, "metric"]).reset_index()
    table["n_repeats"] = table.set_index(_OF).index.map(groups.size()).to_numpy()
    table.loc[table.pop("count") < table["n_repeats"], ["mean", "std"]] = float("nan")
    if metric is None:
        return table
    wide = table[table["metric"] == metric].set_index(_OF)[["mean", "std"]]
    order = wide.index.droplevel("n_latent").unique()
    return wide.unstack("n_latent").sort_index(axis=1, level=[0, 1]).reindex(order)
