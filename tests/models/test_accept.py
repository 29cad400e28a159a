import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from edgespiral import models
from edgespiral.core.errors import ModelError
from edgespiral.data import load
from edgespiral.models.accept import copy_of, folded, unwrapped, with_one_output
from edgespiral.models.saved import trace

INPUTS = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


def compiled_in_place() -> nn.Module:
    model = net()
    model.compile()
    return model


WRAPPED = {
    "DataParallel": lambda: nn.DataParallel(net()),
    "compiled": lambda: torch.compile(net()),
    "both": lambda: torch.compile(nn.DataParallel(net())),
    "averaged": lambda: AveragedModel(net()),
    "in place": compiled_in_place,
}


@pytest.mark.parametrize("how", WRAPPED)
def test_what_is_around_a_module_is_taken_off(how):
    model = unwrapped(WRAPPED[how]())
    assert type(model) is nn.Sequential
    assert model._compiled_call_impl is None
    assert set(model.state_dict()) == set(net().state_dict())


def test_what_is_around_a_part_is_taken_off_a_copy():
    model = nn.Sequential(nn.DataParallel(net()), nn.Identity())
    assert set(unwrapped(model).state_dict()) == {f"0.{name}" for name in net().state_dict()}
    assert type(model[0]) is nn.DataParallel


def test_a_plain_module_is_given_back_itself():
    model = net()
    assert unwrapped(model) is model
    assert folded(model) == (model, [])


def prepared() -> nn.Module:
    from torch.ao.quantization import get_default_qat_qconfig, prepare_qat

    model = net().train()
    model.qconfig = get_default_qat_qconfig("x86")
    return prepare_qat(model).eval()


def dynamic() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(net(), {nn.Linear})


def meta() -> nn.Module:
    return net().to("meta")


REFUSED = {
    "is TorchScript": lambda: torch.jit.trace(net(), INPUTS),
    r"part \(\w+\): is TorchScript": lambda: nn.ModuleDict(
        {"part": torch.jit.trace(net(), INPUTS)}
    ),
    "is an exported program": lambda: torch.export.export(net(), (INPUTS,)).module(),
    r"0 \(Conv2d\): is prepared for quantisation": prepared,
    r"3 \(Linear\): is prepared for quantisation or quantised": dynamic,
    r"lazy layers have no weights yet: 0\.weight": lambda: nn.Sequential(nn.LazyLinear(3)),
    "on the device 'meta' have no values": meta,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_trained_or_cut_is_refused_with_what_to_hand_over(reason):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = REFUSED[reason]()
    with pytest.raises(ModelError, match=reason) as caught:
        unwrapped(model)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def hooked(kind):
    model = net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind(model[0])
    return model


COMPUTED = {
    "weight norm": nn.utils.weight_norm,
    "spectral norm": nn.utils.spectral_norm,
    "pruning mask": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
    "parametrisation": parametrizations.weight_norm,
}


@pytest.mark.parametrize("kind", COMPUTED)
def test_computed_weights_become_plain_ones_in_a_copy(kind):
    model = hooked(COMPUTED[kind])
    expected = model(INPUTS)
    names = set(model.state_dict())
    plain, lines = folded(model)
    assert lines == [f"{kind} folded into plain weights: 0"]
    assert set(plain.state_dict()) == set(net().state_dict())
    assert not plain[0]._forward_pre_hooks
    assert torch.allclose(plain(INPUTS), expected, atol=1e-6)
    assert set(model.state_dict()) == names
    assert torch.equal(model(INPUTS), expected)


def test_masks_one_over_the_other_are_folded_together():
    model = net()
    for _ in range(2):
        prune.random_unstructured(model[0], "weight", amount=0.25)
    prune.random_unstructured(model[0], "bias", amount=0.5)
    expected = model(INPUTS)
    plain, _ = folded(model)
    assert set(plain.state_dict()) == set(net().state_dict())
    assert torch.equal(plain(INPUTS), expected)


def test_a_parametrisation_that_cannot_be_folded_is_named_with_its_remover():
    class Failing(nn.Module):
        works = True

        def forward(self, weight):
            if not self.works:
                raise RuntimeError("no")
            return weight * 2

    model = net()
    nn.utils.parametrize.register_parametrization(model[0], "weight", Failing(), unsafe=True)
    model[0].parametrizations.weight[0].works = False
    with pytest.raises(ModelError, match=r"0: its parametrisation.*remove_parametrizations"):
        folded(model)


def test_weights_of_inference_mode_are_copied_into_ones_that_train():
    model = net()
    with torch.inference_mode():
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    plain, lines = folded(model)
    plain(INPUTS).sum().backward()
    assert not lines
    assert plain[0].weight.grad is not None


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.out, self.aux = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        features = self.body(x)
        return {"out": self.out(features), "aux": self.aux(features)}


def test_of_a_mapping_one_entry_is_returned_under_the_same_names():
    model, inputs = TwoHeads().eval(), torch.randn(2, 3, 4, 4)
    alone = with_one_output(model, "out")
    assert torch.equal(alone(inputs), model(inputs)["out"])
    assert set(model(inputs)) == {"out", "aux"}
    assert list(alone.state_dict()) == list(model.state_dict())
    graph = trace(alone, inputs)
    assert torch.equal(graph(inputs), alone(inputs))


def test_a_mapping_is_taken_where_the_task_has_a_name_for_it():
    digits = load("digits")
    net = nn.Sequential(nn.Conv2d(1, 3, 1), TwoHeads())
    assert models.one_output(net, digits, None) is net
    assert models.one_output(net, digits, "logits") is net
    inputs, _ = next(iter(digits.validation.epoch(batch_size=2)))
    assert models.one_output(net, digits, "out")(inputs).shape == (2, 2, 8, 8)


class Helped(nn.Module):
    """A module that holds a method of its own beside what has no copy."""

    def __init__(self, held):
        super().__init__()
        self.layer, self.held, self.help = nn.Linear(3, 2), held, self.helped

    def helped(self, x):
        return self.layer(x)

    def forward(self, x):
        return self.help(x)


@pytest.mark.parametrize("held", [threading.Lock(), (i for i in range(3)), {"a": [open]}])
def test_what_has_no_copy_is_shared_and_the_rest_is_not(held):
    model = Helped(held).eval()
    copied = copy_of(model)
    copied.layer.weight.data.zero_()
    assert bool(model.layer.weight.any())
    assert copied.help.__self__ is copied
    assert torch.equal(copied(torch.ones(1, 3))[0], copied.layer.bias)


class Single(nn.Module):
    def __deepcopy__(self, memo):
        raise RuntimeError("there is one\nof me")


def test_a_module_without_a_copy_is_named():
    model = Helped(None)
    model.held = [model.layer, threading.Lock()]
    with pytest.raises(ModelError, match="Helped: held: cannot be copied: cannot pickle"):
        copy_of(model)
    with pytest.raises(ModelError, match="cannot be copied: there is one of me"):
        copy_of(Helped(Single()))
