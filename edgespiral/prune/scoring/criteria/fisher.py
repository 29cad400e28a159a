"""Half the mean squared gradient of a sample's loss at the channel's shared gate.

To second order this is the rise of the loss when the gate closes (Theis et al. 2018, "Faster gaze
prediction with dense networks and Fisher pruning", eq. 7). The gradient is summed over the coupled
layers before it is squared (Liu et al. 2021, "Group Fisher Pruning", section 3.2).
"""

from edgespiral.prune.scoring.criteria.base import GateGradients

PLUGIN = GateGradients(lambda gradient: gradient.square().sum(0) / 2)
