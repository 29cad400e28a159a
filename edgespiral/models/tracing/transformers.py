"""PyTorch's transformer layers as they compute, without the shortcuts that tracing cannot follow.

Their own forwards ask about masks, nested tensors and autocast before they do what the papers say
(Vaswani et al. 2017, section 3.1; Xiong et al. 2020 for `norm_first`), which is all that is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable


def plain_forward(module: nn.Module) -> Callable[..., Any] | None:
    """What to trace in place of the forward of a transformer of `torch.nn`; None for others."""
    write_out = FORWARDS.get(type(module))
    if write_out is None:
        return None

    def forward(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return write_out(module, *args, **kwargs)

    return forward


def _encoder(
    module: Any,  # noqa: ANN401
    src: Any,  # noqa: ANN401
    mask: Any = None,  # noqa: ANN401
    src_key_padding_mask: Any = None,  # noqa: ANN401
    is_causal: bool | None = None,  # noqa: ARG001 (a hint; the mask says it)
) -> Any:  # noqa: ANN401
    for layer in module.layers:
        src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask)
    return src if module.norm is None else module.norm(src)


def _encoder_layer(
    module: Any,  # noqa: ANN401
    src: Any,  # noqa: ANN401
    src_mask: Any = None,  # noqa: ANN401
    src_key_padding_mask: Any = None,  # noqa: ANN401
    is_causal: bool = False,  # noqa: ARG001
) -> Any:  # noqa: ANN401
    def attend(x: Any) -> Any:  # noqa: ANN401
        return module.dropout1(_attention(module.self_attn, x, x, src_mask, src_key_padding_mask))

    if module.norm_first:
        src = src + attend(module.norm1(src))
        return src + _feed(module, module.norm2(src), module.dropout2)
    src = module.norm1(src + attend(src))
    return module.norm2(src + _feed(module, src, module.dropout2))


def _decoder(module: Any, tgt: Any, memory: Any, *masks: Any, **named: Any) -> Any:  # noqa: ANN401
    for layer in module.layers:
        tgt = layer(tgt, memory, *masks, **named)
    return tgt if module.norm is None else module.norm(tgt)


def _decoder_layer(  # noqa: PLR0917 (as in torch)
    module: Any,  # noqa: ANN401
    tgt: Any,  # noqa: ANN401
    memory: Any,  # noqa: ANN401
    tgt_mask: Any = None,  # noqa: ANN401
    memory_mask: Any = None,  # noqa: ANN401
    tgt_key_padding_mask: Any = None,  # noqa: ANN401
    memory_key_padding_mask: Any = None,  # noqa: ANN401
    **_hints: object,
) -> Any:  # noqa: ANN401
    def attend(x: Any) -> Any:  # noqa: ANN401
        return module.dropout1(_attention(module.self_attn, x, x, tgt_mask, tgt_key_padding_mask))

    def look(x: Any) -> Any:  # noqa: ANN401
        seen = _attention(module.multihead_attn, x, memory, memory_mask, memory_key_padding_mask)
        return module.dropout2(seen)

    if module.norm_first:
        tgt = tgt + attend(module.norm1(tgt))
        tgt = tgt + look(module.norm2(tgt))
        return tgt + _feed(module, module.norm3(tgt), module.dropout3)
    tgt = module.norm1(tgt + attend(tgt))
    tgt = module.norm2(tgt + look(tgt))
    return module.norm3(tgt + _feed(module, tgt, module.dropout3))


def _transformer(  # noqa: PLR0917 (as in torch)
    module: Any,  # noqa: ANN401
    src: Any,  # noqa: ANN401
    tgt: Any,  # noqa: ANN401
    src_mask: Any = None,  # noqa: ANN401
    tgt_mask: Any = None,  # noqa: ANN401
    memory_mask: Any = None,  # noqa: ANN401
    src_key_padding_mask: Any = None,  # noqa: ANN401
    tgt_key_padding_mask: Any = None,  # noqa: ANN401
    memory_key_padding_mask: Any = None,  # noqa: ANN401
    **_hints: object,
) -> Any:  # noqa: ANN401
    memory = module.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask)
    paddings = (tgt_key_padding_mask, memory_key_padding_mask)
    return module.decoder(tgt, memory, tgt_mask, memory_mask, *paddings)


def _attention(layer: Any, queries: Any, others: Any, mask: Any, padding: Any) -> Any:  # noqa: ANN401
    masks = {"attn_mask": mask, "key_padding_mask": padding}
    options = {name: value for name, value in masks.items() if value is not None}
    return layer(queries, others, others, need_weights=False, **options)[0]


def _feed(module: Any, inputs: Any, dropout: Any) -> Any:  # noqa: ANN401
    hidden = module.dropout(module.activation(module.linear1(inputs)))
    return dropout(module.linear2(hidden))


FORWARDS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.TransformerEncoder: _encoder,
    nn.TransformerEncoderLayer: _encoder_layer,
    nn.TransformerDecoder: _decoder,
    nn.TransformerDecoderLayer: _decoder_layer,
    nn.Transformer: _transformer,
}
