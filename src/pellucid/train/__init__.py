"""How the models are fitted."""

from ._annotated_plan import AnnotatedAETrainingPlan
from ._best_weights import BestWeights
from ._deep_plan import DeepAETrainingPlan
from ._online_plan import OnlineTrainingPlan
from ._plan import OrthogonalAETrainingPlan
from ._proximal import proximal_step
from ._proximal_gradient import ProximalGradient
from ._seed import seeded
from ._sivae_plan import GeneSplitter, SIVAETrainingPlan

__all__ = [
    "AnnotatedAETrainingPlan",
    "BestWeights",
    "DeepAETrainingPlan",
    "GeneSplitter",
    "OnlineTrainingPlan",
    "OrthogonalAETrainingPlan",
    "ProximalGradient",
    "SIVAETrainingPlan",
    "proximal_step",
    "seeded",
]
