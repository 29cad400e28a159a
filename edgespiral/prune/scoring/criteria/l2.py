"""Euclidean norm of the weights, by NNI."""

from edgespiral.prune.scoring.criteria.base import WeightNorm

PLUGIN = WeightNorm("L2NormPruner")
