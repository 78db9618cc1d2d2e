from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData

from pellucid._quiet import quiet

from ._compressor import Compressor

_CELLS_AT_ONCE = 1024


class DeepAECompressor(Compressor):
    """A :class:`~pellucid.model.DeepAE` with scikit-learn's verbs :cite:p:`Zhang2020`.

    Parameters
    ----------
    n_latent
        Numbers a cell, K.
    model_kwargs
        Arguments of the model other than `n_latent`; the paper's if `None`.
    train_kwargs
        Arguments of its `train`; the paper's if `None`: 1,000 steps on all training cells at once.
    random_state
        Seed of the weights and of the training.
    """

    def __init__(
        self,
        n_latent: int = 50,
        *,
        model_kwargs: dict[str, Any] | None = None,
        train_kwargs: dict[str, Any] | None = None,
        random_state: int = 0,
    ):
        self.n_latent = n_latent
        self.model_kwargs = model_kwargs
        self.train_kwargs = train_kwargs
        self.random_state = random_state

    def _fit(self, x: np.ndarray) -> None:
        # Here, because the other compressors need no torch.
        from pellucid.model import DeepAE
        from pellucid.train import seeded

        preset = DeepAE.preset("zhang2020")
        model_kwargs = preset.model_kwargs if self.model_kwargs is None else self.model_kwargs
        train_kwargs = preset.train_kwargs if self.train_kwargs is None else self.train_kwargs
        adata = AnnData(x.astype(np.float32))
        DeepAE.setup_anndata(adata)
        with quiet(), seeded(self.random_state):
            self.model_ = DeepAE(adata, **{**model_kwargs, "n_latent": self.n_latent})
            self.model_.train(**{"enable_progress_bar": False, **train_kwargs})
        # scvi-tools keeps what was registered for as long as the process runs.
        self.model_.deregister_manager(adata)

    def _encode(self, x: np.ndarray) -> np.ndarray:
        # Here too. Not through an AnnData, which would be registered and kept.
        import torch

        model = self.model_
        with torch.inference_mode():
            codes = [
                model.module.inference(part.to(model.device))["z"].cpu()
                for part in torch.from_numpy(x.astype(np.float32)).split(_CELLS_AT_ONCE)
            ]
        return torch.cat(codes).numpy().astype(np.float64)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return self.model_.decode(codes).astype(np.float64)
