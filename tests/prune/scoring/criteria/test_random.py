import torch

from edgespiral.prune.groups import find_groups
from edgespiral.prune.scoring.criteria import CRITERIA
from edgespiral.prune.scoring.criteria.base import Evidence
from edgespiral.tasks.classification import CLASSIFICATION


def test_random_depends_on_the_seed(residual, example):
    groups = find_groups(residual, example)
    first, second = (
        CRITERIA.get("random").score(
            residual, groups, Evidence([], seed, losses=CLASSIFICATION.sample_losses)
        )
        for seed in (1, 2)
    )
    assert not torch.equal(first["stem"], second["stem"])
