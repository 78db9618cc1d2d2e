"""What every model here shares beyond scvi-tools' own base classes."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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

    _presets: dict[str, Preset]

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
            If the expression holds NaN, infinite or negative values, or nothing but zeros, or if
            gene names are not unique. Raised before anything is registered.
        KeyError
            If `layer` is not in `adata.layers`.
        """
        check_expression(adata, layer)
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
    ) -> Iterator[Tensor]:
        """Expression in batches of cells, on the model's device."""
        self._check_if_trained(warn=True)
        adata = self._validate_anndata(adata)
        for tensors in self._make_data_loader(adata, indices=indices, batch_size=batch_size):
            yield tensors[REGISTRY_KEYS.X_KEY].to(self.device)

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
        codes = [self.module.inference(x)["z"] for x in self._batches(adata, indices, batch_size)]
        return torch.cat(codes).cpu().numpy()

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
        Cells x genes, float32, in the unit of the data: the rate of each gene in each cell.
        """
        rates = []
        for x in self._batches(adata, indices, batch_size):
            encoded = self.module.inference(x)
            rates.append(self.module.generative(**encoded)["rate"])
        return torch.cat(rates).cpu().numpy()

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
