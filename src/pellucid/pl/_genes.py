"""Genes as points in the space of the loadings, in the colours of their sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.ticker import MaxNLocator
from scipy import sparse
from seaborn import color_palette

from .. import _keys
from ._arrange import display_names
from ._names import in_lines
from ._place_names import place_names
from ._scatter import MOST_COLORBLIND, legend, legend_width, numbers_or_categories, scatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

_OTHER, _SEVERAL = "other genes", "in several sets"
_OTHER_COLOR, _SEVERAL_COLOR = "#cccccc", "#000000"
_TITLE = "Gene set"
_LONGEST_LINE = 24  # characters of a legend
# Areas of points in square points: a few genes of sets, and those of none beside them.
_LARGEST, _SHARED, _BACKGROUND = 16.0, 2000.0, 0.6
_CANDIDATES = 8  # genes that are tried for each name to be written
_LISTED = 5


@dataclass
class Genes:
    """What a panel of genes shows."""

    drawn: AnnData  # genes in the order in which they are drawn
    axes: tuple[str, str]
    color: str | None
    named: list[str]  # the first `n_required` at any rate, of the others `n_more`
    n_required: int
    n_more: int
    sets: list[str]

    @property
    def legend_width(self) -> float:
        """Inches that a panel of genes is wider than the axes."""
        return legend_width(None if self.color is None else self.drawn.obs[self.color])

    def share_colors(self, colors: Mapping[str, str]) -> None:
        """Give the sets the colours of what has the same names, if all of them have."""
        if self.sets and all(name in colors for name in self.sets):
            shown = self.drawn.uns[f"{self.color}_colors"]
            self.drawn.uns[f"{self.color}_colors"] = [
                *(colors[name] for name in self.sets),
                *shown[len(self.sets) :],
            ]

    def draw(self, ax: Axes) -> None:
        """Points, the origin, and the legend beside the axes."""
        scatter(self.drawn, "X", self.color, ax)
        behind = np.zeros(self.drawn.n_obs, dtype=bool)
        if self.color is not None:
            values = self.drawn.obs[self.color]
            behind = (values.isna() | (values == _OTHER)).to_numpy()
        if behind.any():
            points = cast("PathCollection", ax.collections[0])
            (size,) = np.unique(points.get_sizes())
            front = np.clip(_SHARED / np.sum(~behind).clip(1), size, _LARGEST)
            points.set_sizes(np.where(behind, _BACKGROUND * size, front))
        frame(ax, self.drawn.obsm["X"])
        ax.set(xlabel=self.axes[0], ylabel=self.axes[1])
        if self.color is not None:
            legend(self.drawn, self.color, ax)

    def ring(self, ax: Axes, gene: str) -> None:
        """Mark one gene, which is named before all others."""
        place = self.drawn.obs_names.get_loc(gene)
        ax.plot(*self.drawn.obsm["X"][place], "o", mfc="none", mec="black", ms=6, mew=1)
        self.n_required += gene not in self.named[: self.n_required]
        self.named = [gene, *(name for name in self.named if name != gene)]

    def name(self, ax: Axes) -> None:
        """Names beside points, once everything else of the figure has its place."""
        places = self.drawn.obs_names.get_indexer(self.named)
        place_names(
            ax,
            self.drawn.obsm["X"],
            places,
            self.named,
            n_required=self.n_required,
            n_more=self.n_more,
        )


def frame(ax: Axes, xy: np.ndarray) -> None:
    """Limits, ticks and the origin: one scale for both axes, so that directions can be read."""
    for line in (ax.axhline, ax.axvline):
        line(0, color="0.6", linewidth=0.5, zorder=0)
    low, high = np.minimum(xy.min(axis=0), 0), np.maximum(xy.max(axis=0), 0)
    half = (np.max(high - low) / 2 or 1) * 1.08
    middle = (low + high) / 2
    ax.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    for axis in (ax.xaxis, ax.yaxis):  # scanpy's embeddings have no ticks
        axis.set_major_locator(MaxNLocator(nbins=5))


def read_genes(
    adata: AnnData,
    *,
    key: str | None,
    components: tuple[int, int],
    color: str | None,
    gene_sets: Sequence[str] | Mapping[str, Sequence[str]] | None,
    gene_sets_key: str,
    label: int | Sequence[str],
) -> Genes:
    """Loadings, colours and names of genes, or an error that says which of them is wrong."""
    key = _keys.found_loadings(adata, key)
    values = np.asarray(_keys.require(adata, "varm", key, "tl.loadings"), dtype=np.float64)
    names = _keys.string_array(_keys.require(adata, "uns", key, "tl.loadings")["latent_names"])
    check_components(components, len(names), f"adata.varm[{key!r}]")
    values = values[:, list(components)]
    if not np.isfinite(values).all():
        raise ValueError(
            f"adata.varm[{key!r}] holds NaN or infinite loadings; see whether the model's "
            "training diverged (get.history), then call tl.loadings again."
        )
    if color is not None and gene_sets is not None:
        raise ValueError(
            f"color={color!r} and gene_sets are both given; genes have one colour: choose one."
        )
    obs = pd.DataFrame(index=adata.var_names)
    sets: list[str] = []
    colors: list[str] = []
    if color is not None:
        if color not in adata.var:
            raise KeyError(
                f"color={color!r} not found in adata.var, which holds: {list(adata.var.columns)}."
            )
        obs[color] = numbers_or_categories(adata.var[color])
    if gene_sets is not None:
        color = _TITLE
        members = set_members(adata, gene_sets, gene_sets_key)
        sets = list(members)
        obs[color], colors = by_set(members)
    distance = np.linalg.norm(values, axis=1)
    named, n_required, n_more = _named(
        adata, label, distance, None if color is None else obs[color]
    )
    order = _order(obs[color] if color is not None else None, len(obs))
    drawn = AnnData(obs=obs.iloc[order], obsm={"X": values[order]})
    if colors:
        drawn.uns[f"{color}_colors"] = colors
    axes = tuple(in_lines(names[component], _LONGEST_LINE) for component in components)
    return Genes(drawn, (axes[0], axes[1]), color, named, n_required, n_more, sets)


def check_components(components: tuple[int, int], n_latent: int, where: str) -> None:
    """Raise unless these are two units that there are."""
    found = set(components)
    if len(components) != 2 or len(found) != 2 or not found <= set(range(n_latent)):
        raise ValueError(
            f"components={components!r} must be two different positions among the {n_latent} "
            f"units of {where}, counted from 0."
        )


def set_members(
    adata: AnnData, gene_sets: Sequence[str] | Mapping[str, Sequence[str]], key: str
) -> dict[str, np.ndarray]:
    """Which genes stand in each of the chosen sets."""
    if not isinstance(gene_sets, Mapping):
        mask = sparse.csc_array(_keys.require(adata, "varm", key, "pp.add_gene_sets"))
        known = _keys.string_array(_keys.require(adata, "uns", key, "pp.add_gene_sets")["names"])
        wanted = [gene_sets] if isinstance(gene_sets, str) else [str(name) for name in gene_sets]
        positions = {name: position for position, name in enumerate(known.tolist())}
        unknown = [name for name in wanted if name not in positions]
        if unknown or not wanted:
            likely = get_close_matches(str(next(iter(unknown), "")), positions, cutoff=0.4)
            raise ValueError(
                f"gene_sets: {', '.join(map(repr, unknown)) or 'no name'} is none of the "
                f"{len(known)} sets in adata.uns[{key!r}], such as "
                f"{', '.join(map(repr, (likely or list(positions))[:_LISTED]))}."
            )
        return {name: mask[:, [positions[name]]].toarray().ravel().astype(bool) for name in wanted}
    members = {
        str(name): adata.var_names.isin([genes] if isinstance(genes, str) else list(genes))
        for name, genes in gene_sets.items()
    }
    empty = [name for name, found in members.items() if not found.any()]
    if empty or not members:
        raise ValueError(
            f"gene_sets: no gene of {', '.join(map(repr, empty)) or 'any set'} is in "
            f"adata.var_names, which holds names such as {list(adata.var_names[:3])}."
        )
    return members


def by_set(members: dict[str, np.ndarray]) -> tuple[pd.Categorical, list[str]]:
    """The set of each gene, and the colours of the categories."""
    names = list(members)
    shown = [in_lines(name, _LONGEST_LINE) for name in display_names(names)[0]]
    masks = np.stack(list(members.values()))
    count = masks.sum(axis=0)
    codes = np.where(count == 1, masks.argmax(axis=0), len(names) + (count == 0))
    if len(names) <= MOST_COLORBLIND:
        # Without the palette's grey, which other genes have.
        palette = [*color_palette("colorblind", MOST_COLORBLIND).as_hex()]
        colors = [*palette[:7], *palette[8:], palette[7]][: len(names)]
    else:
        colors = list(sc.pl.palettes.default_102[: len(names)])
    rest = {_SEVERAL: _SEVERAL_COLOR, _OTHER: _OTHER_COLOR}
    found = pd.Categorical.from_codes(codes, [*shown, *rest])
    unused = [name for name in rest if not (found == name).any()]
    kept = [color for name, color in rest.items() if name not in unused]
    # `remove_categories` would sort them, and colours go by place.
    left = [name for name in found.categories if name not in unused]
    return found.set_categories(left), [*colors, *kept]


def _named(
    adata: AnnData, label: int | Sequence[str], distance: np.ndarray, values: pd.Series | None
) -> tuple[list[str], int, int]:
    """Genes whose names are written: those that were asked for, or the farthest of each group.

    With how many there must be, and how many more of the list as there is room for.
    """
    if not isinstance(label, int | np.integer):
        wanted = [label] if isinstance(label, str) else [str(name) for name in label]
        unknown = [name for name in wanted if name not in adata.var_names]
        if unknown:
            raise KeyError(
                f"label: {', '.join(map(repr, unknown[:_LISTED]))} not found in adata.var_names, "
                f"which holds names such as {list(adata.var_names[:3])}."
            )
        wanted = list(dict.fromkeys(wanted))
        return wanted, len(wanted), 0
    if label < 0:
        raise ValueError(f"label={label} must be a number of genes, 0 or more, or their names.")
    farthest = np.argsort(-distance, kind="stable")
    farthest = farthest[distance[farthest] > 0]
    groups = [farthest]
    if values is not None and isinstance(values.dtype, pd.CategoricalDtype):
        categories = [name for name in values.cat.categories if name not in (_OTHER, _SEVERAL)]
        groups = [farthest[(values == name).to_numpy()[farthest]] for name in categories]
    turns = chain.from_iterable(zip_longest(*groups))
    places = [place for place in turns if place is not None]
    return adata.var_names[places[: _CANDIDATES * label]].to_list(), 0, int(label)


def _order(values: pd.Series | None, n_genes: int) -> np.ndarray:
    """Genes without a colour first, and the others so that no group covers another."""
    order = np.random.default_rng(0).permutation(n_genes)
    if values is None:
        return order
    front = (values.notna() & (values != _OTHER)).to_numpy()
    return np.concatenate([order[~front[order]], order[front[order]]])
