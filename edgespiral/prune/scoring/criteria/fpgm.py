"""Distance to the geometric median of the filters (He et al. 2019), by NNI."""

from edgespiral.prune.scoring.criteria.base import WeightNorm

PLUGIN = WeightNorm("FPGMPruner")
