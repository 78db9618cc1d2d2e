"""Many optimiser steps, one cell each, of a SoftPlus autoencoder in one compiled call.

A batch of one cell leaves a framework little to do and much to manage; here a step is its
arithmetic and one passage over the memory it must touch. The gradient of a layer is an outer
product and is never formed. A column of the first layer, whose gradient is zero in every cell
that lacks its gene, is brought up to date only when a cell has that gene. A row of the last layer
is read and written once a step. The updates are those of `torch.optim.SGD(nesterov=True)`.
"""

from __future__ import annotations

import numba
import numpy as np

# Sums may be reordered, so that they vectorise; NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "arcp", "nsz"}
# PyTorch's threshold, above which SoftPlus is the identity.
_LINEAR_ABOVE = np.float32(20.0)
# Rows of the output layer worked on together: they and their momentum stay in the first cache.
_ROWS = 32

_jit = numba.njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
# For the steps of one row, of which there are thousands a cell: a call would cost a third of them.
_inlined = numba.njit(inline="always", fastmath=_FAST, error_model="numpy")


@_jit
def _squared_norm(values):
    total = 0.0
    for value in values:
        total += value * value
    return total


@_jit
def _softplus(pre, beta, out, slope):
    for j in range(pre.size):
        scaled = beta * pre[j]
        if scaled > _LINEAR_ABOVE:
            out[j] = pre[j]
            slope[j] = 1.0
        else:
            grown = np.exp(scaled)
            out[j] = np.log1p(grown) / beta
            slope[j] = grown / (1.0 + grown)


@_inlined
def _nesterov(row, velocity, factor, direction, learning_rate, momentum):
    """Step a row whose gradient is `factor * direction`."""
    for j in range(row.size):
        gradient = factor * direction[j]
        velocity[j] = momentum * velocity[j] + gradient
        row[j] -= learning_rate * (gradient + momentum * velocity[j])


@_inlined
def _nesterov_then_apply(row, velocity, factor, direction, below, learning_rate, momentum):
    """The same in one passage with the product of the row, stepped, and `below`."""
    total = np.float32(0.0)
    for j in range(row.size):
        gradient = factor * direction[j]
        speed = momentum * velocity[j] + gradient
        value = row[j] - learning_rate * (gradient + momentum * speed)
        velocity[j] = speed
        row[j] = value
        total += value * below[j]
    return total


@_inlined
def _catch_up(row, velocity, left, learning_rate, momentum):
    """Take Nesterov steps without a gradient, which leave `left` of the velocity."""
    drift = learning_rate * momentum * momentum * (np.float32(1.0) - left)
    drift /= np.float32(1.0) - momentum
    for j in range(row.size):
        row[j] -= drift * velocity[j]
        velocity[j] *= left


# Loops and not BLAS, whose threads cost more than products of this size.
@_jit
def _apply(weight, below, out):
    for i in range(weight.shape[0]):
        total = out[i]
        for j in range(weight.shape[1]):
            total += weight[i, j] * below[j]
        out[i] = total


@_jit
def _add_transposed(weight, above, out):
    # By four rows, for `out` to be read and written a quarter as often.
    n_rows, width = weight.shape
    by_four = n_rows - n_rows % 4
    for i in range(0, by_four, 4):
        first, second, third, fourth = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        a, b, c, d = above[i], above[i + 1], above[i + 2], above[i + 3]
        for j in range(width):
            out[j] += a * first[j] + b * second[j] + c * third[j] + d * fourth[j]
    for i in range(by_four, n_rows):
        for j in range(width):
            out[j] += above[i] * weight[i, j]


@_jit
def _orthogonality(weight, residual, pull):
    """Penalty ||I - W W'||_F; `pull` becomes its gradient, 2 (W W' - I) W / ||I - W W'||_F."""
    n_code, width = weight.shape
    for i in range(n_code):
        for k in range(i + 1):
            total = np.float32(0.0)
            for j in range(width):
                total += weight[i, j] * weight[k, j]
            residual[i, k] = total
            residual[k, i] = total
        residual[i, i] -= np.float32(1.0)
    penalty = np.sqrt(_squared_norm(residual.ravel()))
    if penalty > 0.0:
        residual *= np.float32(2.0 / penalty)
    pull[:] = 0.0
    for i in range(n_code):
        _add_transposed(weight, residual[i], pull[i])
    return penalty


@_jit
def _output_layer(
    weight,
    velocity,
    bias,
    pending,
    pending_below,
    has_pending,
    below,
    counts,
    library,
    beta,
    eps,
    learning_rate,
    momentum,
    delta,
    back,
):
    """Forward, loss and backward of the output layer in one passage over its rows.

    The update that the previous cell asked for (`pending` x `pending_below`) is made when a row
    is next wanted. Fills `delta`, the gradient of the loss by this layer's pre-activation, and
    `back`, that by its input; returns the reconstruction loss.
    """
    n_genes, width = weight.shape
    one = np.float32(1.0)
    loss = 0.0
    back[:] = 0.0
    pre = np.empty(_ROWS, np.float32)
    for start in range(0, n_genes, _ROWS):
        stop = min(start + _ROWS, n_genes)
        for gene in range(start, stop):
            row = weight[gene]
            total = np.float32(0.0)
            if has_pending:
                total = _nesterov_then_apply(
                    row,
                    velocity[gene],
                    pending[gene],
                    pending_below,
                    below,
                    learning_rate,
                    momentum,
                )
            else:
                for j in range(width):
                    total += row[j] * below[j]
            pre[gene - start] = bias[gene] + total
        # Absent genes enter the loss by the sum of their rates alone, and a sum of logarithms is
        # the logarithm of a product, which 32 factors below exp(20) + 1 cannot overflow.
        product = 1.0
        for gene in range(start, stop):
            scaled = beta * pre[gene - start]
            count = counts[gene]
            if scaled > _LINEAR_ABOVE:
                slope = one
                rate = pre[gene - start] * library
                if count == 0.0:
                    loss += rate
            else:
                grown = np.exp(scaled)
                slope = grown / (one + grown)
                rate = one
                if count == 0.0:
                    product *= 1.0 + grown
                else:
                    rate = np.log1p(grown) / beta * library
            pull = one
            if count != 0.0:
                loss += rate - count * np.log(rate + eps)
                pull -= count / (rate + eps)
            delta[gene] = pull * library * slope / np.float32(n_genes)
        loss += np.log(product) / beta * library
        _add_transposed(weight[start:stop], delta[start:stop], back)
    return loss / n_genes


@numba.njit(cache=True, error_model="numpy", nogil=True)
def online_steps(
    inputs,
    counts,
    library,
    first,
    middle,
    last,
    biases,
    code,
    orthogonality_weight,
    beta,
    eps,
    learning_rate,
    momentum,
    clip_norm,
):
    """Take one Nesterov step for each row of `inputs`, in order, in place.

    Parameters
    ----------
    inputs
        What the encoder reads, cells x genes, float32.
    counts
        What the decoder is to reproduce, cells x genes, float32.
    library
        Factor between the decoder's output and the rate, one a cell, float32.
    first
        Weight of the first layer and its momentum, *transposed*: genes x hidden.
    middle
        Weights of the layers between, and their momenta: two tuples of out x in.
    last
        Weight of the last layer and its momentum: genes x hidden.
    biases
        Biases of all layers, and their momenta: two tuples of vectors.
    code
        Which of the layers in `middle` is the last of the encoder.
    orthogonality_weight, beta, eps, learning_rate, momentum
        Scalars, float32.
    clip_norm
        Largest norm of the whole gradient; infinite for none.

    Returns
    -------
    Sums over the cells of the loss, of the reconstruction loss and of the squared code.
    """
    n_cells, n_genes = inputs.shape
    middle_weights, middle_velocities = middle
    bias_values, bias_velocities = biases
    n_middle = len(middle_weights)
    widest = 0
    for bias in bias_values[:-1]:
        widest = max(widest, bias.size)
    value = np.zeros((n_middle + 1, widest), np.float32)
    slope = np.zeros_like(value)
    delta = np.zeros_like(value)
    pre = np.zeros(widest, np.float32)
    n_first = bias_values[0].size
    n_last = last[0].shape[1]
    gradient = np.zeros(n_genes, np.float32)
    pending = np.zeros(n_genes, np.float32)
    pending_below = np.zeros(n_last, np.float32)
    n_code = middle_weights[code].shape[0]
    residual = np.zeros((n_code, n_code), np.float32)
    pull = np.zeros_like(middle_weights[code])
    present = np.zeros(n_genes, np.int64)
    n_seen = np.zeros(n_genes, np.int64)
    powers = (momentum ** np.arange(n_cells + 1)).astype(np.float32)
    one = np.float32(1.0)
    total_loss = 0.0
    total_reconstruction = 0.0
    total_squared_code = 0.0

    for cell in range(n_cells):
        x = inputs[cell]
        n_present = 0
        for gene in range(n_genes):
            if x[gene] != 0.0:
                present[n_present] = gene
                n_present += 1

        pre[:n_first] = bias_values[0]
        for gene in present[:n_present]:
            row = first[0][gene]
            if n_seen[gene] < cell:
                left = powers[cell - n_seen[gene]]
                _catch_up(row, first[1][gene], left, learning_rate, momentum)
            n_seen[gene] = cell + 1
            for j in range(n_first):
                pre[j] += x[gene] * row[j]
        _softplus(pre[:n_first], beta, value[0], slope[0])
        for layer in range(n_middle):
            weight = middle_weights[layer]
            n_out, n_in = weight.shape
            pre[:n_out] = bias_values[layer + 1]
            _apply(weight, value[layer, :n_in], pre)
            _softplus(pre[:n_out], beta, value[layer + 1], slope[layer + 1])
        total_squared_code += _squared_norm(value[code + 1, :n_code])

        reconstruction = _output_layer(
            last[0],
            last[1],
            bias_values[n_middle + 1],
            pending,
            pending_below,
            cell > 0,
            value[n_middle, :n_last],
            counts[cell],
            library[cell],
            beta,
            eps,
            learning_rate,
            momentum,
            gradient,
            delta[n_middle, :n_last],
        )
        for j in range(n_last):
            delta[n_middle, j] *= slope[n_middle, j]
        for layer in range(n_middle - 1, -1, -1):
            weight = middle_weights[layer]
            n_in = weight.shape[1]
            delta[layer, :n_in] = 0.0
            _add_transposed(weight, delta[layer + 1], delta[layer, :n_in])
            for j in range(n_in):
                delta[layer, j] *= slope[layer, j]

        penalty = 0.0
        if orthogonality_weight > 0.0:
            penalty = _orthogonality(middle_weights[code], residual, pull)
            pull *= orthogonality_weight
        total_reconstruction += reconstruction
        total_loss += reconstruction + orthogonality_weight * penalty

        if clip_norm < np.inf:
            squared = _squared_norm(delta[0, :n_first]) * (_squared_norm(x) + 1.0)
            for layer in range(n_middle):
                n_out, n_in = middle_weights[layer].shape
                d = delta[layer + 1, :n_out]
                h = value[layer, :n_in]
                squared += _squared_norm(d) * (_squared_norm(h) + 1.0)
                if layer == code and orthogonality_weight > 0.0:
                    squared += _squared_norm(pull.ravel())
                    for i in range(n_out):
                        for j in range(n_in):
                            squared += 2.0 * d[i] * pull[i, j] * h[j]
            squared += _squared_norm(gradient) * (_squared_norm(value[n_middle, :n_last]) + 1.0)
            shrink = np.float32(min(1.0, clip_norm / (np.sqrt(squared) + 1e-6)))
            delta *= shrink
            gradient *= shrink
            pull *= shrink

        for gene in present[:n_present]:
            _nesterov(
                first[0][gene],
                first[1][gene],
                x[gene],
                delta[0, :n_first],
                learning_rate,
                momentum,
            )
        for layer in range(n_middle):
            weight = middle_weights[layer]
            velocity = middle_velocities[layer]
            n_out, n_in = weight.shape
            h = value[layer, :n_in]
            d = delta[layer + 1, :n_out]
            if layer == code and orthogonality_weight > 0.0:
                for i in range(n_out):
                    for j in range(n_in):
                        pull[i, j] += d[i] * h[j]
                    _nesterov(weight[i], velocity[i], one, pull[i], learning_rate, momentum)
            else:
                for i in range(n_out):
                    _nesterov(weight[i], velocity[i], d[i], h, learning_rate, momentum)
        for layer in range(n_middle + 1):
            d = delta[layer, : bias_values[layer].size]
            _nesterov(bias_values[layer], bias_velocities[layer], one, d, learning_rate, momentum)
        _nesterov(
            bias_values[n_middle + 1],
            bias_velocities[n_middle + 1],
            one,
            gradient,
            learning_rate,
            momentum,
        )
        pending, gradient = gradient, pending
        pending_below[:] = value[n_middle, :n_last]

    for gene in range(n_genes):
        left = powers[n_cells - n_seen[gene]]
        _catch_up(first[0][gene], first[1][gene], left, learning_rate, momentum)
        row = last[0][gene]
        _nesterov(row, last[1][gene], pending[gene], pending_below, learning_rate, momentum)
    return total_loss, total_reconstruction, total_squared_code
