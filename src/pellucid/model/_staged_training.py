"""Training of cells, of genes, and of both."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from pellucid._compat import REGISTRY_KEYS, DataSplitter
from pellucid._validate import group_labels
from pellucid.train import GeneSplitter

from ._base import BaseAutoencoder
from ._gene_input import choose_cells, gene_input

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from typing import Literal

    import numpy as np
    from torch import Tensor

    from pellucid.module import SIVAEModule

_STAGES = ("cells", "genes", "joint")
_EPOCHS = (100, 100, 100)
_CELLS_AT_ONCE = 1024


class StagedAutoencoder(BaseAutoencoder):
    """A pair of autoencoders that are trained in three stages, in one call."""

    module: SIVAEModule
    is_trained_: bool
    history_: dict[str, pd.DataFrame] | None
    _gene_input: Literal["pca", "sample"]
    _labels_key: str | None
    _n_gene_inputs: int | None

    def train(
        self,
        max_epochs: int | Sequence[int] | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        batch_size: int = 128,
        n_genes_per_step: int | None = None,
        early_stopping: bool = True,
        early_stopping_patience: int = 10,
        plan_kwargs: dict[str, Any] | None = None,
        **kwargs,
    ) -> None:
        """Train the cells, then the genes, then both: the paper's three stages.

        First the autoencoder of cells, whose last weights are free. Then the autoencoder of genes,
        which learns to write these weights. Then all. Of cells that are held out, no stage sees
        anything, the encoder of genes included. The plain autoencoder (`gene_wise=False`) has the
        first stage alone, and a query model, whose genes stand still, the last.

        Parameters
        ----------
        max_epochs
            Passes over the training cells, or over the genes in the second stage, at most: of each
            stage, or three numbers.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`.
        train_size
            Share of the cells to train on; 0.9 if `None`.
        validation_size
            Share of the cells held out; the rest if `None`.
        batch_size
            Cells a step, or genes in the second stage.
        n_genes_per_step
            Genes that a step of the last stage draws to stand for all, without bias: embedding
            every gene in every step would cost more than the cells. As many as `batch_size` if
            `None`, or all for counts, whose softmax needs them.
        early_stopping
            Whether to stop a stage when its loss on what is held out stops improving, and to end
            it with the weights of the epoch where it was least.
        early_stopping_patience
            Epochs without improvement to wait for.
        plan_kwargs
            Arguments of the training plan: `lr` and `weight_decay`.
        **kwargs
            Passed to scvi-tools' `train` and by it to :class:`~scvi.train.Trainer`.

        Raises
        ------
        ValueError
            If there are too few cells to hold any out or for `n_gene_inputs`, `max_epochs` is not
            one number or three, or genes are to be drawn for counts.
        KeyError
            If the labels that the sample of cells is to follow are not in `adata.obs`.
        """
        epochs = self._epochs(max_epochs)
        n_genes_per_step = self._genes_per_step(n_genes_per_step, batch_size)
        # Not before: a trained model may be loaded with fewer cells.
        if "genes" in epochs and (self._n_gene_inputs or 0) > self.adata.n_obs:
            raise ValueError(
                f"n_gene_inputs={self._n_gene_inputs}, but adata has {self.adata.n_obs} cells; "
                "the encoder of genes can read at most as many."
            )
        plan = {"n_genes_per_step": n_genes_per_step, **(plan_kwargs or {})}
        self._n_held_out(train_size, validation_size, early_stopping)
        split = kwargs.pop("datasplitter_kwargs", {})
        splitter = DataSplitter(
            self.adata_manager,
            train_size=train_size,
            validation_size=validation_size,
            batch_size=batch_size,
            shuffle_set_split=kwargs.pop("shuffle_set_split", True),
            **split,
        )
        splitter.setup()
        # One split for all stages.
        cells = [splitter.train_idx, splitter.val_idx, splitter.test_idx]
        split = {**split, "external_indexing": cells}
        if "genes" in epochs:
            self._read_cells(splitter.train_idx)
        earlier = self.history_ if self.is_trained_ else None
        history: dict[str, pd.DataFrame] = {}
        for stage, n_epochs in epochs.items():
            # scvi-tools adds the epochs of a model that is trained to those before.
            self.is_trained_, self.history_ = False, None
            self._data_splitter_cls = GeneSplitter if stage == "genes" else DataSplitter
            arguments = dict(
                max_epochs=n_epochs,
                accelerator=accelerator,
                devices=devices,
                train_size=train_size,
                validation_size=validation_size,
                batch_size=batch_size,
                early_stopping=early_stopping,
                early_stopping_patience=early_stopping_patience,
                plan_kwargs={"stage": stage, **plan},
                datasplitter_kwargs=split,
                **kwargs,
            )
            with self._during(stage, splitter.train_idx):
                self._fit(**arguments)
            last = stage == [*epochs][-1]
            found: dict[str, pd.DataFrame] = self.history_ or {}
            history |= {name if last else f"{name}_{stage}": found[name] for name in found}
        self.history_ = _continued(earlier, history)
        self._warn_of_dead_units()

    def _during(self, stage: str, cells: np.ndarray) -> AbstractContextManager[None]:
        """What the network does in this stage alone."""
        if stage == "cells":
            return self.module.free_weights()
        if stage == "genes" and self.module.gamma:
            return self.module.trained_cells(*self._moments_of_cells(cells))
        return nullcontext()

    @torch.no_grad()
    def _moments_of_cells(self, cells: np.ndarray) -> tuple[Tensor, Tensor]:
        """Products of scores with each other and with genes, summed over these cells."""
        module = self.module
        n_genes, n_latent = len(module.gene_mean), module.n_latent
        squares = torch.zeros(n_latent, n_latent, device=self.device)
        products = torch.zeros(n_genes, n_latent, device=self.device)
        loader = self._make_data_loader(self.adata, indices=cells, batch_size=_CELLS_AT_ONCE)
        for tensors in loader:
            encoded = self._encode({key: x.to(self.device) for key, x in tensors.items()})
            mean = encoded["mean"]
            squares += mean.T @ mean + encoded["variance"].sum(0).diag()
            products += encoded["encoder_input"][:, :n_genes].T @ mean
        return squares, products

    def _epochs(self, max_epochs: int | Sequence[int] | None) -> dict[str, int]:
        """Epochs of each stage that this model has."""
        if max_epochs is None:
            max_epochs = _EPOCHS
        if isinstance(max_epochs, int):
            max_epochs = [max_epochs] * len(_STAGES)
        if len(max_epochs) != len(_STAGES):
            raise ValueError(
                f"max_epochs={max_epochs!r}: expected one number, or three, for the stages of "
                "cells, genes and both."
            )
        epochs = dict(zip(_STAGES, max_epochs, strict=True))
        if not self.module.gene_wise:
            return {"cells": epochs["cells"]}
        if not self.module.gene_weights.requires_grad:
            return {"joint": epochs["joint"]}
        return epochs

    def _genes_per_step(self, wanted: int | None, batch_size: int) -> int | None:
        if self.module.likelihood == "nb":
            if wanted is not None:
                raise ValueError(
                    f"n_genes_per_step={wanted}: the softmax of likelihood='nb' runs over all "
                    "genes, so none can be left out of a step. Leave it None."
                )
            return None
        if wanted is not None and wanted < 1:
            raise ValueError(f"n_genes_per_step={wanted} draws no gene; it must be at least 1.")
        return batch_size if wanted is None else wanted

    @torch.inference_mode()
    def _read_cells(self, cells: np.ndarray) -> None:
        """Write what the encoder of genes reads, from some of the training cells."""
        module = self.module
        labels = None
        if self._labels_key is not None:
            labels = group_labels(self.adata, self._labels_key, argument="labels_key").codes[cells]
        width = module.gene_input.shape[1]
        chosen = choose_cells(cells, self._gene_input, width, labels)
        loader = self._make_data_loader(self.adata, indices=chosen, batch_size=_CELLS_AT_ONCE)
        read = [module.encoder_input(x[REGISTRY_KEYS.X_KEY].to(self.device)).cpu() for x in loader]
        rows = gene_input(torch.cat(read).numpy(), self._gene_input, width)
        module.gene_input.copy_(rows)


def _continued(
    before: dict[str, pd.DataFrame] | None, after: dict[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Epochs of a training after those of the one before, numbered on."""
    found = {}
    for name, frame in after.items():
        earlier = (before or {}).get(name)
        if earlier is None:
            found[name] = frame
            continue
        found[name] = pd.concat([earlier, frame.set_axis(frame.index + len(earlier))])
        found[name].index.name = frame.index.name
    return (before or {}) | found
