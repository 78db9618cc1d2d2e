"""How the models are fitted."""

from ._best_weights import BestWeights
from ._online_plan import OnlineTrainingPlan
from ._plan import OrthogonalAETrainingPlan
from ._seed import seeded

__all__ = ["BestWeights", "OnlineTrainingPlan", "OrthogonalAETrainingPlan", "seeded"]
