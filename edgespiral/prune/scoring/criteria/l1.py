"""Sum of absolute weights (Li et al. 2017), by NNI."""

from edgespiral.prune.scoring.criteria.base import WeightNorm

PLUGIN = WeightNorm("L1NormPruner")
