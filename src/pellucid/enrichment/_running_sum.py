"""Running sums of weighted gene set enrichment, of the sets and of random ones."""

from __future__ import annotations

import numba
import numpy as np

LANES = 64
"""Rankings whose random sets are scored at once."""

_TIES = 1 - 1e-5


@numba.njit(cache=True, nogil=True)
def score_sets(order, weight, starts, sets, sizes, es, edge):
    """Enrichment score of every set in every ranking, and the position of its peak.

    One walk down each ranking, from gene to gene and through the sets that each stands in, so that
    nothing is sorted and genes that stand in no set cost nothing.

    Parameters
    ----------
    order
        Genes of each ranking from first to last, (n_rankings, n_genes).
    weight
        Weight of each position, the same shape, each above 0.
    starts, sets
        Sets of gene g: `sets[starts[g]:starts[g + 1]]`.
    sizes
        Number of genes of each set.
    es, edge
        Filled, (n_rankings, n_sets): the score; and the last position of the leading edge if it
        is positive, the first one if it is negative.
    """
    n_rankings, n_genes = order.shape
    n_sets = sizes.size
    for ranking in range(n_rankings):
        total = np.zeros(n_sets)
        for place in range(n_genes):
            gene = order[ranking, place]
            for at in range(starts[gene], starts[gene + 1]):
                total[sets[at]] += weight[ranking, place]
        reached = np.zeros(n_sets)
        n_hits = np.zeros(n_sets, np.int64)
        highest, lowest = np.full(n_sets, -np.inf), np.full(n_sets, np.inf)
        peak, dip = np.zeros(n_sets, np.int64), np.zeros(n_sets, np.int64)
        for place in range(n_genes):
            gene = order[ranking, place]
            for at in range(starts[gene], starts[gene + 1]):
                one = sets[at]
                missed = (place - n_hits[one]) / (n_genes - sizes[one])
                before = reached[one] / total[one] - missed
                reached[one] += weight[ranking, place]
                after = reached[one] / total[one] - missed
                n_hits[one] += 1
                if before < lowest[one]:
                    lowest[one] = before
                    dip[one] = place
                if after > highest[one]:
                    highest[one] = after
                    peak[one] = place
        for one in range(n_sets):
            positive = highest[one] > -lowest[one]
            es[ranking, one] = highest[one] if positive else lowest[one]
            edge[ranking, one] = peak[one] if positive else dip[one]


@numba.njit(inline="always")
def _next(state):
    """One step of the generator SplitMix64 (Steele et al. 2014): new state, 32 random bits."""
    state += np.uint64(0x9E3779B97F4A7C15)
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32)


# Position of the only bit that is set: its product with this number begins with 6 bits that tell.
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_BIT = np.zeros(64, np.int64)
for _bit in range(64):
    _BIT[(int(_DE_BRUIJN) << _bit) % 2**64 >> 58] = _bit


@numba.njit(cache=True, nogil=True)
def draw_positions(n_genes, sizes, seeds, out):
    """Sorted positions of random sets, every set by itself.

    Parameters
    ----------
    n_genes
        Length of the list.
    sizes
        Size of the sets of each row.
    seeds
        (n_rows,) uint64.
    out
        Filled: `n_permutations` sets of a row one after the other, rows one after the other.
    """
    shuffled = np.arange(n_genes)
    bits = np.zeros(n_genes // 64 + 1, np.uint64)
    one, low = np.uint64(1), np.uint64(63)
    end = 0
    n_permutations = out.size // sizes.sum()
    for row in range(sizes.size):
        state = seeds[row]
        for _ in range(n_permutations):
            # Fisher and Yates; whatever the order at first, the foremost are a random set.
            for card in range(sizes[row]):
                state, random = _next(state)
                other = card + np.int64((random * np.uint64(n_genes - card)) >> np.uint64(32))
                shuffled[card], shuffled[other] = shuffled[other], shuffled[card]
                place = np.uint64(shuffled[card])
                bits[place >> np.uint64(6)] |= one << (place & low)
            # Read from a bit mask, they are sorted.
            for word in range(bits.size):
                left = bits[word]
                bits[word] = np.uint64(0)
                while left:
                    last = left & (~left + one)
                    out[end] = 64 * word + _BIT[(last * _DE_BRUIJN) >> np.uint64(58)]
                    left ^= last
                    end += 1


# Sums and extremes may be reordered, so that lanes vectorise; no value is NaN.
@numba.njit(cache=True, nogil=True, error_model="numpy", fastmath=True)
def score_random_sets(weight, positions, sizes, out):
    """Enrichment scores of random sets in `LANES` rankings at once.

    A random set is a set of random positions, whatever the ranking, so all rankings share them.
    The score needs the sorted positions and the weights there, and nothing of the other genes.

    Parameters
    ----------
    weight
        Weight of each position in each ranking, (n_genes, LANES) float32, each above 0.
    positions
        What `draw_positions` drew.
    sizes
        Size of the sets of each row.
    out
        Filled: scores, (n_rows, n_permutations, LANES) float32.
    """
    n_genes = weight.shape[0]
    # A constant shape, for the compiler to see that rows do not overlap.
    state = np.empty((4, LANES), np.float32)
    start = 0
    for row in range(sizes.size):
        size = sizes[row]
        by = np.float32(1 / (n_genes - size))
        for permutation in range(out.shape[1]):
            for lane in range(LANES):
                state[0, lane] = np.float32(0)
                state[1, lane] = np.float32(0)
                state[2, lane] = np.float32(-2)
                state[3, lane] = np.float32(2)
            for hit in range(size):
                place = positions[start + hit]
                for lane in range(LANES):
                    state[0, lane] += weight[place, lane]
            for lane in range(LANES):
                state[0, lane] = np.float32(1) / state[0, lane]
            for hit in range(size):
                place = positions[start + hit]
                missed = np.float32(place - hit) * by
                for lane in range(LANES):
                    before = state[1, lane] - missed
                    state[1, lane] += weight[place, lane] * state[0, lane]
                    after = state[1, lane] - missed
                    highest, lowest = state[2, lane], state[3, lane]
                    state[2, lane] = after if after > highest else highest
                    state[3, lane] = before if before < lowest else lowest
            for lane in range(LANES):
                highest, lowest = state[2, lane], state[3, lane]
                out[row, permutation, lane] = highest if highest > -lowest else lowest
            start += size


@numba.njit(cache=True, nogil=True)
def compare_with_random_sets(es, null, same, near, nes, p):
    """Normalise the scores of one ranking by those of random sets, and count what exceeds them.

    Everything is among scores of one sign.

    Parameters
    ----------
    es
        Scores of the sets, (n_sets,).
    null
        Scores of random sets, (n_rows, n_permutations).
    same, near
        First row, and the one after the last, of random sets of the same size and of about the
        same size, (n_sets, 2). All rows of one size are in both.
    nes, p
        Filled, (n_sets,): the score over the mean of random ones of the same size; how often the
        normalised score of a random set of about the size is as far from 0.
    """
    n_rows = null.shape[0]
    total, count = np.zeros((2, n_rows)), np.zeros((2, n_rows), np.int64)
    for row in range(n_rows):
        for one in null[row]:
            side = 0 if one >= 0 else 1
            total[side, row] += abs(one)
            count[side, row] += 1
    mean = np.zeros((2, n_rows))
    for which in range(es.size):
        first, last = same[which]
        for side in range(2):
            n = count[side, first:last].sum()
            if n:
                mean[side, first:last] = total[side, first:last].sum() / n
    for which in range(es.size):
        side = 0 if es[which] >= 0 else 1
        expected = mean[side, same[which, 0]]
        if expected == 0:
            # No random set is on this side: there is nothing to compare with.
            nes[which], p[which] = np.nan, 1.0
            continue
        nes[which] = es[which] / expected
        n_beyond = n_all = 0
        for row in range(near[which, 0], near[which, 1]):
            # What ties in double precision ties in single precision too.
            bound = np.float32(nes[which] * mean[side, row] * _TIES)
            n_all += count[side, row]
            if count[side, row] == 0:
                continue
            if side == 0:
                for one in null[row]:
                    n_beyond += one >= bound
            else:
                for one in null[row]:
                    n_beyond += one <= bound
        p[which] = (1 + n_beyond) / (1 + n_all)
