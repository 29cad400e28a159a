"""The engine follows a model once, and cuts it as one does that follows it anew."""

from __future__ import annotations

import gc
import weakref

import torch

from edgespiral.prune.engines.flow.cutter import FlowCutter
from edgespiral.prune.engines.flow.engine import KEPT_MODELS, FlowEngine
from edgespiral.prune.engines.flow.finder import groups_by_flow
from edgespiral.prune.engines.flow.rewrite import explicit


def half_of(groups):
    return {g.name: g.channels_of_units(range(g.units // 2)) for g in groups}


def test_what_was_followed_serves_the_cuts_of_the_same_model_and_of_no_other(named):
    example, larger = torch.randn(1, 3, 64, 64), torch.randn(2, 3, 64, 64)
    model, other = explicit(named("vit"), example), explicit(named("convnext"), example)
    engine = FlowEngine()
    for some in (model, other, model):
        for inputs in (example, larger):
            groups = engine.find_groups(some, inputs, known=groups_by_flow(some, inputs)).groups
            kept = half_of(groups)
            ours = engine.cut(some, inputs, groups, kept)
            anew = FlowCutter().cut(some, inputs, groups, kept)
            assert ours.state_dict().keys() == anew.state_dict().keys()
            assert torch.equal(ours(example), anew(example))


def test_models_that_were_followed_are_not_kept_alive(named):
    example, engine = torch.randn(1, 3, 64, 64), FlowEngine()
    models = [explicit(named("vit"), example) for _ in range(KEPT_MODELS)]
    for model in models:
        groups = engine.find_groups(model, example, known=groups_by_flow(model, example)).groups
        engine.cut(model, example, groups, half_of(groups))
    left = [weakref.ref(model) for model in models]
    del model, models, groups
    gc.collect()
    assert [ref() for ref in left] == [None] * KEPT_MODELS
