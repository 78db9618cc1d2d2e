"""The one door to scvi-tools' names that move between releases."""

from __future__ import annotations

from scvi import REGISTRY_KEYS, settings
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField
from scvi.model.base import BaseModelClass, UnsupervisedTrainingMixin
from scvi.module import VAE
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from scvi.train import TrainingPlan
from scvi.utils import setup_anndata_dsp

__all__ = [
    "REGISTRY_KEYS",
    "VAE",
    "AnnDataManager",
    "BaseModelClass",
    "BaseModuleClass",
    "LayerField",
    "LossOutput",
    "TrainingPlan",
    "UnsupervisedTrainingMixin",
    "auto_move_data",
    "settings",
    "setup_anndata_dsp",
]
