"""How the models are fitted."""

from ._online_plan import OnlineTrainingPlan
from ._plan import OrthogonalAETrainingPlan
from ._seed import seeded

__all__ = ["OnlineTrainingPlan", "OrthogonalAETrainingPlan", "seeded"]
