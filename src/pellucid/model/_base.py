"""What every model here shares beyond scvi-tools' own base classes."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from copy import deepcopy
from math import ceil, floor
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch

from pellucid._compat import (
    REGISTRY_KEYS,
    AnnDataManager,
    BaseModelClass,
    LayerField,
    UnsupervisedTrainingMixin,
    setup_anndata_dsp,
)
from pellucid._keys import DEAD_BELOW, string_array
from pellucid._validate import check_expression
from pellucid.train import BestWeights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from anndata import AnnData
    from torch import Tensor

logger = logging.getLogger("pellucid")


class Preset(NamedTuple):
    """A paper's settings: arguments of the model and of :meth:`train`."""

    model_kwargs: dict[str, Any]
    train_kwargs: dict[str, Any]


class BaseAutoencoder(UnsupervisedTrainingMixin, BaseModelClass):
    """Autoencoders over one expression matrix, whose module has `encoder_input` and `encoder`."""

    _presets: ClassVar[dict[str, Preset]] = {}
    # Without the penalties, which may go on falling while the fit of held-out cells gets worse.
    _monitor = "reconstruction_loss_validation"
    # Whether values below 0 can be modelled.
    _may_be_scaled = False

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_anndata(cls, adata: AnnData, layer: str | None = None, **kwargs) -> None:
        """%(summary)s.

        Parameters
        ----------
        %(param_adata)s
        %(param_layer)s

        Raises
        ------
        ValueError
            If the expression holds NaN or infinite values, nothing but zeros, or negative values
            that the model does not take, or if gene names are not unique. Raised before anything
            is registered.
        KeyError
            If `layer` is not in `adata.layers`.
        """
        check_expression(adata, layer, scaled=cls._may_be_scaled)
        setup_method_args = cls._get_setup_method_args(**locals())
        adata_manager = AnnDataManager(
            fields=[LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False)],
            setup_method_args=setup_method_args,
        )
        adata_manager.register_fields(adata, **kwargs)
        cls.register_manager(adata_manager)

    @classmethod
    def preset(cls, name: str) -> Preset:
        """Settings of a paper, by name.

        Parameters
        ----------
        name
            One of the names that the class's docstring lists.

        Returns
        -------
        A named tuple of `model_kwargs` and `train_kwargs`.

        Raises
        ------
        KeyError
            If there is no such preset.
        """
        if name not in cls._presets:
            raise KeyError(
                f"preset {name!r} not found; {cls.__name__} has: {sorted(cls._presets)}."
            )
        return deepcopy(cls._presets[name])

    @property
    def latent_names(self) -> np.ndarray:
        """Names of the latent units, a string array: `Z_0`, `Z_1`, ..."""
        return string_array(f"Z_{unit}" for unit in range(self.module.n_latent))

    def _batches(
        self,
        adata: AnnData | None,
        indices: Sequence[int] | None,
        batch_size: int | None,
    ) -> Iterator[dict[str, Tensor]]:
        """Cells in batches, on the model's device."""
        self._check_if_trained(warn=True)
        adata = self._validate_anndata(adata)
        for tensors in self._make_data_loader(adata, indices=indices, batch_size=batch_size):
            yield {name: tensor.to(self.device) for name, tensor in tensors.items()}

    def _encode(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.module.inference(**self.module._get_inference_input(tensors))

    @torch.inference_mode()
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Encode cells.

        Parameters
        ----------
        adata
            AnnData with the genes of the one the model was set up with; that one if `None`.
        indices
            Cells to encode; all if `None`.
        batch_size
            Cells encoded at once; `scvi.settings.batch_size` if `None`.

        Returns
        -------
        Cells x units, float32.
        """
        batches = self._batches(adata, indices, batch_size)
        return torch.cat([self._encode(tensors)["z"] for tensors in batches]).cpu().numpy()

    @torch.inference_mode()
    def get_reconstruction(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Encode cells and decode them again.

        Parameters
        ----------
        adata
            AnnData with the genes of the one the model was set up with; that one if `None`.
        indices
            Cells to reconstruct; all if `None`.
        batch_size
            Cells reconstructed at once; `scvi.settings.batch_size` if `None`.

        Returns
        -------
        Cells x genes, float32, in the unit of the data: the mean that the model gives each gene in
        each cell.
        """
        means = []
        with self._decoding():
            for tensors in self._batches(adata, indices, batch_size):
                decoder_input = self.module._get_generative_input(tensors, self._encode(tensors))
                means.append(self.module.generative(**decoder_input)["mean"])
        return torch.cat(means).cpu().numpy()

    def _decoding(self) -> AbstractContextManager[None]:
        """What all batches that are decoded have in common."""
        return nullcontext()

    @torch.inference_mode()
    def get_normalized_expression(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        library_size: float = 1.0,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Denoised expression, the same total in every cell.

        Parameters
        ----------
        adata
            AnnData with the genes of the one the model was set up with; that one if `None`.
        indices
            Cells; all if `None`.
        library_size
            Total of each cell. 1 gives each gene's share of the cell.
        batch_size
            Cells decoded at once; `scvi.settings.batch_size` if `None`.

        Returns
        -------
        Cells x genes, float32.

        Raises
        ------
        ValueError
            If the model was built for something else than counts, such as log expression.
        """
        if self._log_setting is not None:
            raise ValueError(
                f"{self._log_setting} does not model counts, so that there is no library size; "
                "use get_reconstruction."
            )
        mean = self.get_reconstruction(adata, indices, batch_size)
        return mean * (library_size / mean.sum(1, keepdims=True))

    @property
    def _log_setting(self) -> str | None:
        """The setting by which the model was built for anything but counts; `None` for counts."""
        raise NotImplementedError(f"{type(self).__name__} says nothing of what it models.")

    def _n_held_out(
        self, train_size: float | None, validation_size: float | None, early_stopping: bool
    ) -> int:
        """Number of cells that are held out of training, if these are enough."""
        n_obs = self.adata.n_obs
        if validation_size is None:
            n_held_out = n_obs - ceil(n_obs * (0.9 if train_size is None else train_size))
        else:
            n_held_out = floor(n_obs * validation_size)
        if n_obs < 3 or (early_stopping and n_held_out == 0):
            raise ValueError(
                f"adata has {n_obs} cell(s), of which none is left to hold out of training. "
                "Training needs at least 3 cells, and early stopping one that is held out: pass a "
                "smaller train_size, such as 0.5, or early_stopping=False."
            )
        return n_held_out

    def _fit(
        self,
        *,
        train_size: float | None,
        validation_size: float | None,
        early_stopping: bool,
        **kwargs,
    ) -> None:
        """scvi-tools' `train`, ending with the best weights where it stops early."""
        n_held_out = self._n_held_out(train_size, validation_size, early_stopping)
        callbacks = [*kwargs.pop("callbacks", [])]
        if early_stopping:
            callbacks.append(BestWeights(self._monitor))
        # Lightning keeps the mode that it finds, and dropout acts in one of them.
        self.module.train()
        super().train(
            train_size=train_size,
            validation_size=validation_size,
            early_stopping=early_stopping,
            early_stopping_monitor=self._monitor,
            check_val_every_n_epoch=kwargs.pop(
                "check_val_every_n_epoch", 1 if n_held_out else None
            ),
            callbacks=callbacks,
            # Nothing is logged a step, and Lightning warns where an epoch has fewer steps.
            log_every_n_steps=kwargs.pop("log_every_n_steps", 1),
            **kwargs,
        )

    def _warn_of_dead_units(self) -> None:
        deviation = self.get_latent_representation().std(0)
        dead = deviation <= DEAD_BELOW * deviation.max()
        if dead.any():
            logger.warning(
                "%d of %d latent units are dead: their standard deviation over cells is below "
                "%g of the most variable unit's (%s). They carry nothing; a larger learning rate, "
                "a smaller n_latent or another seed may use them.",
                dead.sum(),
                dead.size,
                DEAD_BELOW,
                ", ".join(self.latent_names[dead][:8]) + (", ..." if dead.sum() > 8 else ""),
            )
