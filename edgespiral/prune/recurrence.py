"""LSTM, GRU and RNN step by step, with a gate at every place where a hidden unit is read.

A hidden unit is removed when nobody reads it: not the gates of its own layer at the next step
(columns of `weight_hh`), nor the layers that take the outputs or the final state. What a unit keeps
to itself, its cell or its leaky memory, is nobody's to read. So the masked model has `weight_hh @
(gate * h)` here and the gates of `prune.masking` at the other readers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from edgespiral.prune.unstack import directions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    State = Tensor | tuple[Tensor, Tensor]
    Step = Callable[[Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


def gated_recurrence(
    layer: nn.RNNBase, inputs: Tensor, gate: Tensor, start: State | None = None
) -> tuple[Tensor, State]:
    """What `layer(inputs, start)` returns, with its own reads of hidden units multiplied by `gate`.

    Args:
        layer: one layer, one or two directions, without projections.
        inputs: (N, T, features), or (T, N, features) if not `batch_first`.
        gate: (N or 1, directions * hidden).
        start: the initial state as the layer takes it, (directions, N, hidden), for an LSTM twice;
            zeros if left out.

    Returns:
        The outputs, and the final state as the layer gives it: (directions, N, hidden), for an
        LSTM twice.
    """
    steps = inputs.transpose(0, 1) if layer.batch_first else inputs
    gates = gate.to(inputs.dtype).chunk(directions(layer), dim=1)
    states_before = (start,) if isinstance(start, torch.Tensor) else start
    runs = [
        _direction(
            layer,
            steps,
            part,
            "_reverse" if index else "",
            states_before and tuple(s[index] for s in states_before),
        )
        for index, part in enumerate(gates)
    ]
    outputs = torch.cat([outputs for outputs, _ in runs], dim=-1)
    states = tuple(torch.stack(parts) for parts in zip(*(s for _, s in runs), strict=True))
    in_order = outputs.transpose(0, 1) if layer.batch_first else outputs
    return in_order, (states[0], states[1]) if isinstance(layer, nn.LSTM) else states[0]


def _direction(
    layer: nn.RNNBase,
    steps: Tensor,
    gate: Tensor,
    suffix: str,
    start: tuple[Tensor, ...] | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    backwards = bool(suffix)
    weight_ih, weight_hh, *biases = _parameters(layer, suffix)
    bias_ih, bias_hh = biases or (None, None)
    driven = nn.functional.linear(steps.flip(0) if backwards else steps, weight_ih, bias_ih)
    advance = _step_of(layer)
    hidden = driven.new_zeros(driven.shape[1], layer.hidden_size)
    state = start or ((hidden, hidden) if isinstance(layer, nn.LSTM) else (hidden,))
    outputs = []
    for drive in driven:
        recurrent = nn.functional.linear(gate * state[0], weight_hh, bias_hh)
        state = advance(drive, recurrent, state)
        outputs.append(state[0])
    return torch.stack(outputs[::-1] if backwards else outputs), state


def _step_of(layer: nn.RNNBase) -> Step:
    if isinstance(layer, nn.LSTM):
        return _lstm_step
    if isinstance(layer, nn.GRU):
        return _gru_step
    return _relu_step if layer.nonlinearity == "relu" else _tanh_step


def _parameters(layer: nn.RNNBase, suffix: str) -> Iterator[Tensor]:
    for kind in ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if layer.bias else ())):
        yield getattr(layer, f"{kind}_l0{suffix}")


def _lstm_step(drive: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One step of torch.nn.LSTM's definition; its gates are in the order i, f, g, o."""
    enter, forget, candidate, show = (drive + recurrent).chunk(4, dim=-1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * candidate.tanh()
    return show.sigmoid() * cell.tanh(), cell


def _gru_step(drive: Tensor, recurrent: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One step of torch.nn.GRU's definition; its gates are in the order r, z, n."""
    drive_r, drive_z, drive_n = drive.chunk(3, dim=-1)
    recurrent_r, recurrent_z, recurrent_n = recurrent.chunk(3, dim=-1)
    keep = (drive_z + recurrent_z).sigmoid()
    candidate = (drive_n + (drive_r + recurrent_r).sigmoid() * recurrent_n).tanh()
    return ((1 - keep) * candidate + keep * state[0],)


def _tanh_step(drive: Tensor, recurrent: Tensor, _state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One step of torch.nn.RNN's definition."""
    return ((drive + recurrent).tanh(),)


def _relu_step(drive: Tensor, recurrent: Tensor, _state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One step of torch.nn.RNN's definition with `nonlinearity="relu"`."""
    return ((drive + recurrent).relu(),)
