"""Populations of cells whose gene networks differ while their means do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from typing import Literal


def populations(
    seed: int,
    rewiring: Literal["lost", "moved", "none"],
    *,
    n_populations: int = 20,
    n_cells: int = 1000,
    n_modules: int = 6,
    n_genes: int = 40,
    n_isolated: int = 60,
    correlation: float = 0.6,
) -> ad.AnnData:
    """Hubs with their spokes; in every other population one module is wired otherwise.

    Genes vary by 1 in every population and have a mean of their own there, which has nothing to
    do with the wiring.

    Parameters
    ----------
    seed
        Of the draw.
    rewiring
        `"lost"`: genes of the first module go with none. `"moved"`: half of the spokes of the
        first module go with the second's hub, and the other way round, so that all degrees are as
        before. `"none"`: the populations' labels say nothing.
    n_populations, n_cells, n_modules, n_isolated
        How many.
    n_genes
        Of a module, its hub among them.
    correlation
        Of a hub with a spoke.

    Returns
    -------
    Cells of all populations, with `population` and `rewired` in `obs`; `module` (-1 for none),
    `hub` and `rewired` in `var`.
    """
    random = np.random.default_rng(seed)
    module = np.concatenate([np.repeat(np.arange(n_modules), n_genes), np.full(n_isolated, -1)])
    hub = (np.arange(len(module)) % n_genes == 0) & (module >= 0)
    place = np.arange(len(module)) % n_genes
    moves = (module < 2) & (module >= 0) & (place > n_genes // 2)
    changed = {"lost": module == 0, "moved": moves | (hub & (module < 2)), "none": module == -2}
    x = np.empty((n_populations, n_cells, len(module)), dtype=np.float32)
    noise = np.sqrt(1 - correlation**2)
    for population in range(n_populations):
        cells = random.standard_normal((n_cells, len(module)), dtype=np.float32)
        goes_with = module.copy()
        if population % 2 and rewiring == "lost":
            goes_with[module == 0] = -1
        elif population % 2 and rewiring == "moved":
            goes_with[moves] = 1 - module[moves]
        for of in range(n_modules):
            spokes = (goes_with == of) & ~hub
            cells[:, spokes] = correlation * cells[:, [of * n_genes]] + noise * cells[:, spokes]
        x[population] = cells + random.normal(scale=0.3, size=len(module))
    # Log expression is not negative.
    x -= x.min()
    names = [f"donor {population:02d}" for population in range(n_populations)]
    rewired = np.where(np.arange(n_populations) % 2, "rewired", "as before")
    return ad.AnnData(
        x.reshape(-1, len(module)),
        obs=pd.DataFrame(
            {
                "population": pd.Categorical(np.repeat(names, n_cells)),
                "rewired": pd.Categorical(np.repeat(rewired, n_cells)),
            },
            index=[f"cell{cell}" for cell in range(n_populations * n_cells)],
        ),
        var=pd.DataFrame(
            {"module": module, "hub": hub, "rewired": changed[rewiring]},
            index=[f"gene{gene}" for gene in range(len(module))],
        ),
    )
