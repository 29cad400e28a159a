"""The mean absolute gradient of a sample's loss at the channel's shared gate.

First-order Taylor expansion of the loss in the gate (Molchanov et al. 2019, "Importance Estimation
for Neural Network Pruning", section 3.1, with gates in place of weights).
"""

from edgespiral.prune.scoring.criteria.base import GateGradients

PLUGIN = GateGradients(lambda gradient: gradient.abs().sum(0))
