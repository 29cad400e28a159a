from __future__ import annotations

import operator

import pytest
import torch

from edgespiral.models.saved import trace
from edgespiral.prune.branches import Silencing, drop, dropped, find_branches
from edgespiral.prune.groups import find_groups


def branches_of(model, example):
    return find_branches(model, find_groups(model, example), example)


def test_each_residual_block_is_a_branch_with_its_inner_groups(residual, example):
    found = branches_of(residual, example)
    assert [branch.name for branch in found] == ["block1", "block2"]
    assert [branch.groups for branch in found] == [("block1.conv1",), ("block2.conv1",)]
    assert found[0].layers == ("block1.conv1", "block1.bn1", "block1.conv2", "block1.bn2")


def test_a_network_without_additions_has_none(concatenated, example):
    assert branches_of(concatenated, example) == []


def test_dropping_a_branch_leaves_the_other_operand_and_no_orphans(residual, example):
    first, _ = branches_of(residual, example)
    smaller = drop(residual, [first])
    assert not [name for name, _ in smaller.named_modules() if name.startswith("block1.conv")]
    assert torch.equal(smaller(example), Silencing(residual, [first]).run(example))
    assert not torch.equal(smaller(example), residual(example))


def test_all_branches_can_go(residual, example):
    smaller = drop(residual, branches_of(residual, example))
    assert [n for n, m in smaller.named_modules() if isinstance(m, torch.nn.Conv2d)] == ["stem"]
    assert smaller(example).shape == (1, 5)


def test_width_zero_in_all_its_groups_means_dropped(residual, example):
    found = branches_of(residual, example)
    widths = {"stem": 16, "block1.conv1": 0, "block2.conv1": 8}
    assert [branch.name for branch in dropped(found, widths)] == ["block1"]


def test_silencing_runs_nothing_that_only_a_branch_needs(residual, example):
    first, second = branches_of(residual, example)
    ran = []
    for name, module in residual.named_modules():
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
    output = Silencing(residual, [first, second]).run(example)
    assert torch.equal(output, drop(residual, [first, second])(example))
    assert not {*first.layers, *second.layers} & set(ran)


def test_what_comes_after_a_silenced_branch_may_work_in_place(residual, example):
    first, _ = branches_of(residual, example)
    for node in residual.graph.nodes:
        if node.target is torch.nn.functional.relu:
            node.kwargs = {**node.kwargs, "inplace": True}
    residual.recompile()
    assert torch.equal(drop(residual, [first])(example), Silencing(residual, [first]).run(example))


class InPlace(torch.nn.Module):
    """Two residual blocks whose sums are worked on in place, by a layer or by `activation`."""

    def __init__(self, activation=None):
        super().__init__()
        self.stem, self.head = torch.nn.Conv2d(3, 8, 1), torch.nn.Linear(8, 5)
        self.inner1, self.outer1 = torch.nn.Conv2d(8, 4, 1), torch.nn.Conv2d(4, 8, 1)
        self.inner2, self.outer2 = torch.nn.Conv2d(8, 4, 1), torch.nn.Conv2d(4, 8, 1)
        self.activation = activation or torch.nn.ReLU(inplace=True)

    def forward(self, inputs):
        early = self.activation(self.stem(inputs))
        middle = self.activation(self.outer1(self.inner1(early)) + early)
        late = self.activation(self.outer2(self.inner2(middle)) + middle)
        return self.head((late - middle).mean((2, 3)))


@pytest.mark.parametrize(
    "activation",
    [
        None,
        torch.relu_,
        torch.nn.functional.elu_,
        lambda x: x.sigmoid_(),
        lambda x: torch.nn.functional.relu(x, True),
        lambda x: torch.nn.functional.leaky_relu(x, negative_slope=0.5, inplace=True),
        lambda x: operator.imul(x, 0.5).sigmoid(),
    ],
)
def test_what_comes_after_a_branch_that_is_gone_leaves_what_others_read(example, activation):
    torch.manual_seed(0)
    model = trace(InPlace(activation))
    branches = branches_of(model, example)
    smaller = drop(model, branches)
    assert branches
    assert torch.equal(smaller(example), Silencing(model, branches).run(example))
    smaller.train()(example).square().sum().backward()
    assert all(weight.grad is not None for weight in smaller.parameters())


def test_an_activation_in_place_without_readers_still_runs(example):
    class Readerless(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 4, 1)
            self.inner = torch.nn.Conv2d(4, 4, 1)
            self.relu = torch.nn.ReLU(inplace=True)

        def forward(self, inputs):
            stem = self.stem(inputs)
            self.relu(stem)
            return (stem + self.inner(stem)).mean((2, 3))

    torch.manual_seed(0)
    model = torch.fx.symbolic_trace(Readerless()).eval()
    assert torch.equal(Silencing(model, ()).run(example), model(example))


def test_two_branches_of_one_module_have_names_of_their_own(example):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.block, self.head = (
                torch.nn.Conv2d(3, 8, 1),
                Wrapped(),
                torch.nn.Linear(8, 5),
            )

        def forward(self, inputs):
            return self.head(self.block(self.stem(inputs)).mean((2, 3)))

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Conv2d(8, 4, 1), torch.nn.Conv2d(4, 8, 1)
            self.c, self.d = torch.nn.Conv2d(8, 4, 1), torch.nn.Conv2d(4, 8, 1)

        def forward(self, inputs):
            inputs = inputs + self.b(self.a(inputs))
            return inputs + self.d(self.c(inputs))

    found = branches_of(torch.fx.symbolic_trace(Whole()).eval(), example)
    assert [branch.groups for branch in found] == [("block.a",), ("block.c",)]
    assert len({branch.name for branch in found}) == 2
