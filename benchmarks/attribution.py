"""Mean absolute attribution of every gene to every unit: pellucid against the ways there were.

Guided back-propagation by captum knows ReLU only, so it runs on a ReLU network of the same shape,
and pellucid on that too; on the SoftPlus network of the papers its rival is autograd with hooks.
Every contestant goes over the cells in chunks of the size that was the fastest for it when tried
from 1 to all cells. Weights are as initialised, the input is log(1 + counts).
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from . import _attribution_decoder
from ._data import available, counts
from ._measure import Contestant, Measurement, Work, measure
from ._rates import multiply_adds
from ._report import machine, parser, save, show

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

    from torch import Tensor

    Method = Callable[[nn.Sequential, Tensor], np.ndarray]

N_HIDDEN = 128
SHAPES = ((2638, 3009, 64), (4180, 2560, 64))


def encoder(n_genes: int, n_units: int, activation: str) -> nn.Sequential:
    """Genes-128-units as :class:`pellucid.model.OrthogonalAE` initialises it."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n_in, n_out in ((n_genes, N_HIDDEN), (N_HIDDEN, n_units)):
        linear = nn.Linear(n_in, n_out)
        nn.init.xavier_normal_(linear.weight)
        nn.init.constant_(linear.bias, 0.01)
        layers += [linear, getattr(nn, activation)()]
    return nn.Sequential(*layers).eval()


def unit_by_unit(gradient_of: Callable, n_units: int, x: Tensor, n_cells: int) -> np.ndarray:
    """Mean over cells of what `gradient_of(cells)` returns the absolute gradient of, by unit."""
    total = torch.zeros(n_units, x.shape[1], dtype=torch.float64)
    for cells in x.split(n_cells):
        gradient = gradient_of(cells.clone().requires_grad_())
        for unit, row in enumerate(total):
            row += gradient(unit).sum(0)
    return (total / len(x)).numpy()


def captum_saliency(network: nn.Sequential, x: Tensor) -> np.ndarray:
    from captum.attr import Saliency

    method = Saliency(network)  # returns absolute values

    def gradient_of(cells: Tensor) -> Callable:
        return lambda unit: method.attribute(cells, target=unit).detach()

    return unit_by_unit(gradient_of, network[-2].out_features, x, 1024)


def captum_guided_backprop(network: nn.Sequential, x: Tensor) -> np.ndarray:
    from captum.attr import GuidedBackprop

    method = GuidedBackprop(network)

    def gradient_of(cells: Tensor) -> Callable:
        return lambda unit: method.attribute(cells, target=unit).detach().abs_()

    return unit_by_unit(gradient_of, network[-2].out_features, x, 1024)


def captum_neuron_guided_backprop(network: nn.Sequential, x: Tensor) -> np.ndarray:
    from captum.attr import NeuronGuidedBackprop

    method = NeuronGuidedBackprop(network, network[-1])

    def gradient_of(cells: Tensor) -> Callable:
        return lambda unit: method.attribute(cells, neuron_selector=unit).detach().abs_()

    return unit_by_unit(gradient_of, network[-2].out_features, x, 1024)


def autograd(network: nn.Sequential, x: Tensor) -> np.ndarray:
    """Through `torch.autograd.grad`, with one forward pass for all units."""

    def gradient_of(cells: Tensor) -> Callable:
        units = network(cells)

        def gradient(unit: int) -> Tensor:
            (found,) = torch.autograd.grad(units[:, unit].sum(), cells, retain_graph=True)
            return found.abs_()

        return gradient

    return unit_by_unit(gradient_of, network[-2].out_features, x, 128)


def autograd_guided(network: nn.Sequential, x: Tensor) -> np.ndarray:
    """The same with hooks that clip at 0 from below what arrives at an activation."""

    def clip(module: nn.Module, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(gradient.clamp(min=0) for gradient in gradients)

    hooks = [layer.register_full_backward_pre_hook(clip) for layer in network[1::2]]
    try:
        return autograd(network, x)
    finally:
        for hook in hooks:
            hook.remove()


def jacobian(network: nn.Sequential, x: Tensor) -> np.ndarray:
    """All units at once through `torch.func`."""
    from torch.func import jacrev, vmap

    gradients = vmap(jacrev(network))
    total = torch.zeros(network[-2].out_features, x.shape[1], dtype=torch.float64)
    for cells in x.split(16):
        total += gradients(cells).detach().abs_().sum(0)
    return (total / len(x)).numpy()


def ours(network: nn.Sequential, x: Tensor, *, guided: bool) -> np.ndarray:
    """What `pellucid.tl.attribute` calls, in its chunks."""
    from pellucid.attribution import Attributor, sum_attributions

    method = "guided_backprop" if guided else "saliency"
    attributor = Attributor(network, method, "encoder", n_read=x.shape[1])
    return sum_attributions(attributor, x.split(1024), absolute=True) / len(x)


OURS, REFERENCE = "pellucid", "autograd, a unit at a time"
TASKS: dict[tuple[str, str], dict[str, Method]] = {
    ("saliency", "Softplus"): {
        "captum Saliency": captum_saliency,
        REFERENCE: autograd,
        "torch.func vmap(jacrev)": jacobian,
        OURS: partial(ours, guided=False),
    },
    ("guided", "Softplus"): {
        REFERENCE: autograd_guided,
        OURS: partial(ours, guided=True),
    },
    ("guided", "ReLU"): {
        "captum GuidedBackprop": captum_guided_backprop,
        "captum NeuronGuidedBackprop": captum_neuron_guided_backprop,
        REFERENCE: autograd_guided,
        OURS: partial(ours, guided=True),
    },
}
NEEDS = {
    "captum Saliency": "captum.attr",
    "captum GuidedBackprop": "captum.attr",
    "captum NeuronGuidedBackprop": "captum.attr",
    "torch.func vmap(jacrev)": "torch.func",
    OURS: "pellucid.attribution",
}


def prepare(method: Method, needs: str, activation: str, n_units: int, x: np.ndarray) -> Work:
    """Import what a method needs; build its network and its input."""
    import_module(needs)
    network = encoder(x.shape[1], n_units, activation)
    cells = torch.from_numpy(x)
    return Work(partial(method, network, cells[:32]), partial(method, network, cells))


@torch.no_grad()
def needed_multiply_adds(x: np.ndarray, n_units: int, kind: str, activation: str) -> float:
    """Multiply-adds of the chain of products, without those by a zero.

    One forward pass; then, for each cell and unit, the signals that arrive at the hidden layer
    times the lowest weight. A signal is zero where the clip takes it, which for a positive unit is
    where the unit weighs the hidden one negatively, or where a ReLU is off.
    """
    first, activate, second, _ = encoder(x.shape[1], n_units, activation)
    hidden = activate(first(torch.from_numpy(x)))
    passed = second.weight > 0 if kind == "guided" else second.weight != 0
    on = activate(second(hidden)) > 0
    n_signals = float(((hidden > 0).float() @ passed.float().T)[on].sum(dtype=torch.float64))
    return (len(x) * (x.shape[1] + n_units) * N_HIDDEN) + n_signals * x.shape[1]


def rows_of(
    kind: str,
    activation: str,
    x: np.ndarray,
    n_units: int,
    found: dict[str, Measurement],
    rate: float,
) -> list[dict[str, Any]]:
    """The table of one task."""
    our_seconds = median(found[OURS].seconds)
    expected = found[REFERENCE].answers[0]
    row: dict[str, Any] = {"method": kind, "network": activation}
    nothing = dict.fromkeys(("seconds", "x ours", "MB", "relative error"))
    rows = []
    for name, measured in found.items():
        if measured.missing:
            rows.append(row | {"contestant": f"{name} ({measured.missing})"} | nothing)
            continue
        seconds = median(measured.seconds)
        error = np.abs(measured.answers[0] - expected).max() / np.abs(expected).max()
        rows.append(
            row
            | {
                "contestant": name,
                "seconds": seconds,
                "x ours": seconds / our_seconds,
                "MB": measured.megabytes,
                "relative error": float(error),
            }
        )
    n_cells, n_genes = x.shape
    dense = n_cells * N_HIDDEN * (n_genes + n_units + n_units * n_genes)
    for name, n in (
        ("floor", needed_multiply_adds(x, n_units, kind, activation)),
        ("floor, zeros multiplied too", dense),
    ):
        seconds = n / rate
        rows.append(
            row
            | {
                "contestant": name,
                "seconds": seconds,
                "x ours": seconds / our_seconds,
                "MB": None,
                "relative error": None,
            }
        )
    return rows


def run(
    shape: tuple[int, int, int], *, data: str | None, threads: int, repeats: int
) -> dict[str, Any]:
    """Measure every task at one shape."""
    x = np.log1p(counts(*shape[:2], data))
    rows, rates, ratios = [], [], {}
    for (kind, activation), methods in TASKS.items():
        contestants = [
            Contestant(
                name,
                prepare,
                {
                    "method": method,
                    "needs": NEEDS.get(name, "torch"),
                    "activation": activation,
                    "n_units": shape[2],
                    "x": x,
                },
            )
            for name, method in methods.items()
        ]
        *measured, rated = measure(
            [*contestants, Contestant("floor", multiply_adds, {})],
            threads=threads,
            repeats=repeats,
        )
        rate = median(rated.answers)
        rates.append(rate)
        found = dict(zip(methods, measured, strict=True))
        rows += rows_of(kind, activation, x, shape[2], found, rate)
        ratios |= _ratios(kind, activation, rows)
    return {"shape": shape, "data": data, "rates": rates, "rows": rows, "ratios": ratios}


def _ratios(kind: str, activation: str, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    here = {
        row["contestant"]: row["x ours"]
        for row in rows
        if (row["method"], row["network"]) == (kind, activation) and row["seconds"] is not None
    }
    what = f"{kind}, {activation}"
    ratios = {f"{what}: pellucid / floor": 1 / here["floor"]}
    captum = [ratio for name, ratio in here.items() if name.startswith("captum")]
    if captum:
        ratios[f"{what}: best captum / pellucid"] = min(captum)
    return ratios


def _decoder(given: Namespace) -> None:
    n_cells = given.cells or 1024
    rows = []
    for n_units, n_genes in _attribution_decoder.SHAPES:
        rows += _attribution_decoder.rows_of(
            n_units, n_genes, n_cells=n_cells, threads=given.threads, repeats=given.repeats
        )
    show(
        f"Decoder, {n_cells:,} cells, {given.threads} thread(s), median of {given.repeats}; "
        f"what runs a gene at a time from {_attribution_decoder.PROBED} genes",
        rows,
    )
    result = {"benchmark": "attribution, decoder", **machine(given.threads), "rows": rows}
    save(given.json, result | {"cells": n_cells})


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    command = parser("attribution", __doc__, repeats=3)
    command.add_argument(
        "--cells",
        type=int,
        help="of one shape instead of the two of the docs, or of the decoder's",
    )
    command.add_argument("--genes", type=int, default=SHAPES[0][1])
    command.add_argument("--units", type=int, default=SHAPES[0][2])
    command.add_argument("--made-up", action="store_true", help="counts even where data are")
    command.add_argument("--side", choices=("encoder", "decoder"), default="encoder")
    given = command.parse_args(arguments)
    if given.side == "decoder":
        _decoder(given)
        return
    shapes = ((given.cells, given.genes, given.units),) if given.cells else SHAPES
    data = None if given.made_up else available("pbmc3k_labelled")
    result = {"benchmark": "attribution", **machine(given.threads), "shapes": []}
    for shape in shapes:
        found = run(shape, data=data, threads=given.threads, repeats=given.repeats)
        result["shapes"].append(found)
        n_cells, n_genes, n_units = shape
        show(
            f"{n_cells:,} cells x {n_genes:,} genes x {n_units} units, {given.threads} thread(s), "
            f"{data or 'made-up counts'}, median of {given.repeats}; floor at "
            f"{median(found['rates']) / 1e9:.0f} G multiply-adds/s",
            found["rows"],
        )
        for name, ratio in found["ratios"].items():
            print(f"{name}: {ratio:.2f}")
    save(given.json, result)
