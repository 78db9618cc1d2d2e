"""The distribution of the mean of n scores drawn without replacement, without drawing any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import irfft, next_fast_len
from scipy.special import comb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scipy import sparse

SMALLEST_P = 1e-12
"""No p value is below this: it is what rounding leaves of a tail in double precision."""

# Of the scores: rounding them to bins moves a set's z by about 0.005, whatever its size.
_BINS_PER_STANDARD_DEVIATION = 64
_FEWEST_BINS = 2**12
_MOST_BINS = 2**16
_LOG_NEGLIGIBLE = 36.0  # e^-36 is the rounding error of double precision


def set_mean_tails(
    scores: np.ndarray, members: sparse.csr_array, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Probability that as many scores, drawn without replacement, have as large a mean.

    With :math:`t_1, \dots, t_N` the scores, the sum over a simple random sample of n of them
    has the characteristic function

    .. math:: \binom{N}{n}^{-1} [u^n] \prod_{g=1}^{N} \left(1 + u\, e^{i \theta t_g}\right)

    where :math:`[u^n]` takes the coefficient of :math:`u^n`. Cauchy's integral gives the
    coefficient: a mean over equally spaced points of a circle :math:`|u| = r`, with r near
    :math:`n / (N - n)`, where n is the likeliest sample size. The logarithm of the product is
    a power series in u whose coefficients are the power sums
    :math:`\sum_g e^{i k \theta t_g}`; with the scores rounded to a grid, one Fourier
    transform of their histogram gives these for every :math:`\theta` and k, and a second one
    turns the characteristic function into probabilities. Nothing is drawn and no shape is
    assumed: it is the permutation test of the rounded scores with every subset counted.

    Parameters
    ----------
    scores
        The population, (n_genes,), finite and not constant.
    members
        Genes of each set, (n_sets, n_genes), 0 or 1, of an integer type.
    sizes
        Number of genes in each set, (n_sets,), from 1 to n_genes - 1.

    Returns
    -------
    tuple of numpy.ndarray
        Probabilities of a mean at least as large, and at least as small, each (n_sets,) and
        at least `SMALLEST_P` and the probability of a single subset.
    """
    n_genes = len(scores)
    standardised = (scores - scores.mean()) / scores.std()
    # The genes that a sample leaves out decide its mean as well as those in it do.
    mirrored = 2 * sizes > n_genes
    drawn = np.where(mirrored, n_genes - sizes, sizes)
    tails = np.empty((2, len(sizes)))
    for mirror in (False, True):
        population = -standardised if mirror else standardised
        in_half = mirrored == mirror
        for band in _bands(np.unique(drawn[in_half])):
            on_grid, first, n_bins = _to_grid(population, band)
            distribution = irfft(_sample_spectrum(on_grid, n_bins, band), n_bins, axis=1)
            for n, start, probability in zip(band, first, distribution, strict=True):
                chosen = np.flatnonzero(in_half & (drawn == n))
                sums = members[chosen] @ on_grid
                if mirror:
                    sums = on_grid.sum() - sums
                tails[:, chosen] = _tails(probability, start, sums)
    upper, lower = np.clip(tails, np.maximum(SMALLEST_P, 1 / comb(n_genes, sizes)), 1)
    return upper, lower


def _bands(sizes: np.ndarray) -> Iterator[np.ndarray]:
    """Sizes so near that one circle serves all: a few standard deviations of a sample's size."""
    while len(sizes):
        together = sizes <= sizes[0] + 5 * np.sqrt(sizes[0])
        yield sizes[together]
        sizes = sizes[~together]


def _to_grid(population: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Scores as bins above the least, the bin where each size's sums begin, number of bins.

    Sums are kept modulo the number of bins, wide enough for all but a negligible part of them.
    """
    low, high = -_reach(-population, sizes[-1]), _reach(population, sizes[-1])
    n_bins = np.clip((high - low) * _BINS_PER_STANDARD_DEVIATION, _FEWEST_BINS, _MOST_BINS)
    n_bins = next_fast_len(int(n_bins), real=True)
    margin = 32  # rounding moves a sum by a few bins
    width = (high - low) / (n_bins - 2 * margin)
    least = population.min()
    on_grid = np.rint((population - least) / width).astype(np.int64)
    first = np.floor((low - sizes * least) / width).astype(np.int64) - margin
    return on_grid, first, n_bins


def _reach(population: np.ndarray, size: int) -> float:
    """A sum that samples of this size exceed with negligible probability: Chernoff's bound.

    The bound for drawing with replacement holds without (Hoeffding 1963, theorem 4).
    """
    largest = population.max()
    slopes = np.geomspace(1e-3, 100, 30)[:, None] / largest
    cumulants = np.log(np.mean(np.exp(slopes * (population - largest)), axis=1, keepdims=True))
    bounds = (size * (cumulants + slopes * largest) + _LOG_NEGLIGIBLE) / slopes
    return min(float(bounds.min()), float(size * largest))


def _sample_spectrum(on_grid: np.ndarray, n_bins: int, sizes: np.ndarray) -> np.ndarray:
    """Discrete Fourier transform of the distribution of each size's sum, up to Nyquist."""
    n_genes = len(on_grid)
    transform = np.fft.fft(np.bincount(on_grid % n_bins, minlength=n_bins))
    centre = (sizes[0] + sizes[-1]) / 2
    radius = min(centre / (n_genes - centre), 1 - 1 / np.sqrt(n_genes + 1))
    spread = np.sqrt(n_genes * radius) / (1 + radius)

    # On the circle the product is at most exp(-spread^2 (1 - |mean of e^(i theta t)|)).
    frequencies = np.arange(n_bins // 2 + 1)
    shortfall = 1 - np.abs(transform[frequencies]) / n_genes
    frequencies = frequencies[spread**2 * shortfall < _LOG_NEGLIGIBLE]

    n_terms = int((_LOG_NEGLIGIBLE + np.log(n_genes)) / -np.log(radius)) + 1
    orders = np.arange(1, n_terms + 1)
    power_sums = transform[np.outer(frequencies, orders) % n_bins]
    # Of the sample sizes, so many points confuse only the improbable ones with these.
    n_points = int(sizes[-1] - sizes[0] + 9 * spread) + 20
    angles = 2 * np.pi / n_points * np.arange(n_points)
    series = -((-radius) ** orders) / orders
    log_product = power_sums @ (series[:, None] * np.exp(1j * np.outer(orders, angles)))
    product = np.exp(log_product - n_genes * np.log1p(radius))
    coefficients = product @ np.exp(-1j * np.outer(angles, sizes))

    spectrum = np.zeros((len(sizes), n_bins // 2 + 1), dtype=complex)
    spectrum[:, frequencies] = (coefficients / coefficients[0]).T
    return spectrum


def _tails(probability: np.ndarray, start: int, sums: np.ndarray) -> np.ndarray:
    """Upper and lower tail at each sum, (2, len(sums)); `start` is the sum of the first bin."""
    n_bins = len(probability)
    probability = np.roll(np.clip(probability, 0, None), -(start % n_bins))
    column = np.clip(sums - start, 0, n_bins - 1)
    upper = np.cumsum(probability[::-1])[n_bins - 1 - column]
    return np.stack([upper, np.cumsum(probability)[column]])
