import math

import torch
from torch import nn

from edgespiral.models.tracing.proxies import Number, followed_in, is_followed, kind_of, mapped
from edgespiral.models.tracing.tracer import Tracer


def asked(question, inputs=None):
    """What `question` answers of a traced tensor of two and of three samples."""
    answers = []

    class Net(nn.Module):
        def forward(self, x):
            answers.append(question(x))
            return x

    given = torch.zeros(3, 4, 6) if inputs is None else inputs
    Tracer(Net(), (given[:2], given)).trace_model()
    return answers[0]


def test_a_proxy_passes_for_what_it_stands_for():
    assert asked(lambda x: isinstance(x, torch.Tensor))
    assert asked(lambda x: isinstance(x.shape, torch.Size))
    assert asked(lambda x: isinstance(x.shape[1], int))
    assert not asked(lambda x: isinstance(x, nn.Parameter))
    assert not asked(lambda x: hasattr(x, "no_such_thing"))


def test_sizes_types_and_truths_are_answered():
    assert asked(lambda x: (x.ndim, x.dim(), len(x.shape), x.is_floating_point())) == (
        3,
        3,
        3,
        True,
    )
    assert asked(lambda x: x.shape[1:] == (4, 6) and x.dtype in (torch.float32, torch.float64))
    assert asked(lambda x: x.device.type) == "cpu"
    assert asked(lambda x: 4 in x.shape[1:])


def test_numbers_are_numbers_where_python_wants_one():
    assert asked(lambda x: list(range(x.shape[1]))) == [0, 1, 2, 3]
    assert asked(lambda x: (int(x.shape[1]), float(x.size(2)), round(x.shape[1] / 3))) == (
        4,
        6.0,
        1,
    )
    assert asked(lambda x: [int(n) for n in divmod(x.shape[2], 4)]) == [1, 2]
    assert asked(lambda x: [int(n) for n in divmod(13, x.shape[2])]) == [2, 1]
    assert asked(lambda x: math.ceil(x.shape[2] / 4) == 2)
    assert asked(lambda x: math.floor(x.shape[2] / 4) == 1)
    assert asked(lambda x: f"{x.shape[1]:02d}") == "04"


def test_tuples_are_iterated_and_numbers_are_not():
    assert asked(lambda x: len(list(x.chunk(2, 1)))) == 2
    assert asked(lambda x: [part.shape[1] for part in x.split(2, 1)][1].node.op) == "call_function"
    assert (
        asked(lambda x: hasattr(type(x.shape[1]), "__iter__") and type(x.shape[1]).__iter__) is None
    )


def test_leaves_of_arguments_are_found_and_changed():
    assert mapped((1, [2, {"a": 3}], slice(4, 5, 6)), lambda n: n + 1) == (
        2,
        [3, {"a": 4}],
        slice(5, 6, 7),
    )
    assert (
        asked(lambda x: [is_followed(p) for p in followed_in(([x], {"a": x.shape}))]) == [True] * 2
    )
    assert not is_followed(torch.zeros(1))
    assert kind_of(3) is Number
