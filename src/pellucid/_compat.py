"""The one door to scvi-tools' names that move between releases."""

from __future__ import annotations

from scvi import REGISTRY_KEYS, settings
from scvi.data import AnnDataManager
from scvi.data._constants import _SETUP_ARGS_KEY as SETUP_ARGS_KEY
from scvi.data.fields import CategoricalJointObsField, LayerField, NumericalJointObsField
from scvi.dataloaders import DataSplitter
from scvi.model.base import BaseModelClass, UnsupervisedTrainingMixin
from scvi.model.base._archesmixin import _get_loaded_data as get_loaded_data
from scvi.model.base._save_load import _initialize_model as initialize_model
from scvi.module import VAE
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from scvi.train import TrainingPlan
from scvi.utils import setup_anndata_dsp, track

__all__ = [
    "REGISTRY_KEYS",
    "SETUP_ARGS_KEY",
    "VAE",
    "AnnDataManager",
    "BaseModelClass",
    "BaseModuleClass",
    "CategoricalJointObsField",
    "DataSplitter",
    "LayerField",
    "LossOutput",
    "NumericalJointObsField",
    "TrainingPlan",
    "UnsupervisedTrainingMixin",
    "auto_move_data",
    "get_loaded_data",
    "initialize_model",
    "settings",
    "setup_anndata_dsp",
    "track",
]
