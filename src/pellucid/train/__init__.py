"""How the models are fitted."""

from ._online_plan import OnlineTrainingPlan
from ._plan import OrthogonalAETrainingPlan

__all__ = ["OnlineTrainingPlan", "OrthogonalAETrainingPlan"]
