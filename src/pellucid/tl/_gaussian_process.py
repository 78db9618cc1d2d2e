"""Proposals of a search. Imported where one is run, since Optuna need not be installed."""

from __future__ import annotations

from typing import Any

from optuna.samplers import GPSampler


class GaussianProcess(GPSampler):
    """Optuna's sampler, but for what it has proposed before: the same seed has the same loss."""

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Settings that no trial has; none to have them drawn at random.

        A Gaussian process comes back to the ends of ranges, where many a loss is least.
        """
        proposed = super().sample_relative(study, trial, search_space)
        others = (each.params for each in study.get_trials(deepcopy=False))
        return {} if proposed in others else proposed
