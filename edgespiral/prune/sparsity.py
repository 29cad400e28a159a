"""Weight pruning: which single weights of a model are to be zero.

Channels are gone when they are cut; these zeros stay in tensors of the same shape. Layers that
multiply by weights are thinned; embeddings, norms, biases and constants (`models.fixed`) are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.ao.pruning.sparsifier.weight_norm_sparsifier import WeightNormSparsifier
from torch.nn.utils.prune import L1Unstructured

from edgespiral.core.errors import ModelError, first_few
from edgespiral.models.fixed import fixed_names
from edgespiral.prune.unstack import RECURRENT

if TYPE_CHECKING:
    from torch import Tensor

    from edgespiral.core.records.schema import Sparsity

    Masks = dict[str, Tensor]

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
THINNED = (*CONVOLUTIONS, *TRANSPOSED, nn.Linear, *RECURRENT)
GROUP, ZEROS_A_GROUP = 4, 2


def masks_for(model: nn.Module, sparsity: Sparsity) -> Masks:
    """By parameter name, a mask of its shape that is True where a weight stays.

    A share prunes the smallest magnitudes of all thinned layers together (Han et al. 2015,
    "Learning both weights and connections", section 3.1, with one threshold for the whole model).
    `2:4` prunes the two smallest of every four (`two_four_masks`).

    Raises:
        ModelError: no layer can be thinned; see `check_thinnable`.
    """
    if sparsity == "none":
        return {}
    check_thinnable(model, sparsity)
    return two_four_masks(model) if sparsity == "2:4" else _smallest_out(model, float(sparsity))


def check_thinnable(model: nn.Module, sparsity: Sparsity) -> None:
    """Refuse a model of which no layer can have the zeros asked for.

    Raises:
        ModelError: it names the first layers and why.
    """
    layers, dense = _thinned_layers(model), left_dense(model, sparsity)
    if layers.keys() - dense.keys():
        return
    reasons = first_few([f"{layer} ({why})" for layer, why in dense.items()])
    raise ModelError(
        f"no layer can be {sparsity} sparse: {reasons}"
        if dense
        else "no layer has weights that could be zero",
        where="--sparsity",
        hint="give a share of weights instead, such as 0.5" if dense else None,
    )


def left_dense(model: nn.Module, sparsity: Sparsity) -> dict[str, str]:
    """The layers with weights that `sparsity` leaves as they are, each with the reason."""
    if sparsity != "2:4":
        return {}
    reasons = {name: _why_not_two_four(layer) for name, layer in _thinned_layers(model).items()}
    return {name: reason for name, reason in reasons.items() if reason}


def two_four_masks(model: nn.Module) -> Masks:
    """Of every four input channels the two weights of larger magnitude, in each layer that can.

    Groups run along C of a convolution's (K, C, R, S), for each output channel and each place in
    the kernel, and along the input features of a linear layer: what TensorRT's sparse kernels ask
    for (NVIDIA TensorRT Developer Guide, "Sparsity"; C is to be a multiple of 4).
    """
    able = {
        name: layer
        for name, layer in _thinned_layers(model).items()
        if not _why_not_two_four(layer)
    }
    return {f"{name}.weight": _two_of_four(_weight(layer)) for name, layer in able.items()}


def _why_not_two_four(layer: nn.Module) -> str | None:
    if isinstance(layer, (*RECURRENT, *TRANSPOSED)):
        return f"TensorRT has no sparse kernels for {type(layer).__name__}"
    inputs = _weight(layer).shape[1]
    if inputs % GROUP == 0:
        return None
    of_group = " a group" if getattr(layer, "groups", 1) > 1 else ""
    return f"{inputs} input channel{'s' if inputs > 1 else ''}{of_group}, not a multiple of 4"


def _thinned_layers(model: nn.Module) -> dict[str, nn.Module]:
    layers = model.named_modules()
    return {n: m for n, m in layers if isinstance(m, THINNED) and "weight" not in fixed_names(m)}


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)
    return weight.detach()


def _two_of_four(weight: Tensor) -> Tensor:
    rows = weight.movedim(1, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    # The sparsifier groups along the columns of a linear layer's weight.
    layer = nn.Linear(flat.shape[1], flat.shape[0], bias=False)
    layer.weight.data = flat.clone()
    holder = nn.Sequential(layer)
    sparsifier: Any = WeightNormSparsifier(1.0, (1, GROUP), ZEROS_A_GROUP)
    sparsifier.prepare(holder, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    parametrized: Any = holder[0]
    mask: Tensor = parametrized.parametrizations.weight[0].mask
    return mask.bool().reshape(rows.shape).movedim(-1, 1).contiguous()


def _smallest_out(model: nn.Module, share: float) -> Masks:
    weights = {
        f"{name}.{key}": parameter.detach()
        for name, layer in _thinned_layers(model).items()
        for key, parameter in layer.named_parameters(recurse=False)
        if key.startswith("weight")
    }
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    method: Any = L1Unstructured(amount=share)
    mask: Tensor = method.compute_mask(magnitudes, torch.ones_like(magnitudes))
    parts = torch.split(mask.bool(), [weight.numel() for weight in weights.values()])
    return {n: part.reshape(w.shape) for (n, w), part in zip(weights.items(), parts, strict=True)}
