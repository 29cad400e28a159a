"""Tracing with the sizes known: the graph is symbolic, and each value is computed along.

A `torch.fx` tracer knows nothing of what flows through the forward, so that every `if` on a size,
every loop over the parts of a `chunk` and every assertion stops it. Here the forward is also run on
two batches of different size while it is traced. What is asked of a value that does not depend on
inputs and is the same for both batches is answered; sizes stay symbols wherever they can.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.fx
from torch import Tensor, nn
from torch.fx.proxy import Proxy, TraceError
from torch.nn.utils.rnn import PackedSequence

from edgespiral.core.nested import filled, leaves, plain, template
from edgespiral.models.calling import called, input_names
from edgespiral.models.tracing.entered import entering
from edgespiral.models.tracing.grad_mode import note_grad_mode
from edgespiral.models.tracing.layers import layer_class
from edgespiral.models.tracing.lengths import followed_lengths
from edgespiral.models.tracing.places import place_of_frame, record_of
from edgespiral.models.tracing.proxies import (
    AnsweringTracer,
    Followed,
    followed_in,
    is_followed,
    kind_of,
    mapped,
    value_of,
)
from edgespiral.models.tracing.transformers import plain_forward
from edgespiral.models.tracing.written import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from edgespiral.core.nested import Tensors

# Made of numbers alone, so nothing about their arguments tells torch that they are traced.
FACTORIES = (
    *("arange", "as_tensor", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "tensor"),
    "zeros",
)
SIZED = ("expand", "repeat", "reshape", "view", "tile", "new_zeros", "new_ones", "new_full")
# Whole numbers that no batch changes: better read in the graph as numbers.
RANKS = ("ndim", "dim", "ndimension", "element_size", "get_device")


class Tracer(AnsweringTracer):
    """Traces a module; layers of torch.nn stay whole, with what their hooks do around them.

    Args:
        model: in the mode that it is to be traced in.
        batches: inputs of different batch sizes, run along; without any, sizes stay unknown.
    """

    # Or what is computed from a buffer would become a constant, and the buffer's name be lost.
    proxy_buffer_attributes = True

    def __init__(self, model: nn.Module, batches: tuple[Tensors, ...] = ()) -> None:
        super().__init__()
        self.model = model
        self.batches = batches
        self._form = batches[0] if batches else None
        self._names = input_names(model, self._form)
        self.batch_places: dict[str, None] = {}
        self.written_places: dict[str, None] = {}
        self._modules = dict(model.named_modules())
        self._computing = False
        self._numbers: list[torch.fx.Node] = []

    def trace_model(self) -> torch.fx.GraphModule:
        """The model as a graph of its layers and of its inputs.

        Raises:
            Exception: whatever the forward raises when it is traced.
        """

        def entry(*inputs: Any) -> Any:  # noqa: ANN401
            # Called as a whole, so that hooks and a forward of the module's own are part of it.
            self.root = self.model
            self.submodule_paths = {m: path for path, m in self.model.named_modules()}
            for path, module in self.model.named_modules():
                for name, value in vars(module).items():
                    if isinstance(value, Tensor):
                        self.tensor_attrs[value] = f"{path}.{name}" if path else name
            arguments = filled(template(self._form), iter(inputs))
            return plain(called(self.model, arguments), is_followed)

        with torch.random.fork_rng(devices=[]), _unchanged(self.model):
            with self._factories(), followed_lengths(self.model), entering(self):
                graph = self.trace(entry)
            for node in graph.nodes:
                node.type = None
            for node in reversed(self._numbers):
                if not node.users:
                    graph.erase_node(node)
            graph._tracer_cls = None  # or a pickle of the module would ask for one of this class
            return torch.fx.GraphModule(self.model, graph, type(self.model).__name__)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Values are computed meanwhile, and nothing is recorded."""
        before, self._computing = self._computing, True
        try:
            with torch.no_grad():
                yield
        finally:
            self._computing = before

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],
        is_module: bool,  # noqa: ARG002 (torch.fx's own)
        concrete_args: Any = None,  # noqa: ANN401, ARG002
    ) -> tuple[Callable[..., Any], list[Any]]:
        """A proxy for each input, called as `forward` calls it."""
        return root_fn, [self.create_proxy("placeholder", name, (), {}) for name in self._names]

    def create_node(self, *args: Any, **kwargs: Any) -> torch.fx.Node:  # noqa: ANN401
        """Record an operation with the line of the user's code, so that what is said can name it.

        The whole stack, which torch.fx would record, takes longer than to compute most operations.
        """
        node = super().create_node(*args, **kwargs)
        node.stack_trace = record_of(sys._getframe())
        return node

    def create_arg(self, a: Any) -> Any:  # noqa: ANN401
        """What stands in the graph for an argument; a proxy is one, whatever it passes for."""
        return a.node if is_followed(a) else super().create_arg(a)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether it is recorded as one layer: what does what a layer of torch.nn does."""
        if plain_forward(m) is not None:
            return False
        return bool(module_qualified_name) and layer_class(m) is not None

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:  # noqa: ANN401
        """A module's attribute: a proxy of a parameter or buffer while recording."""
        if self._computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # noqa: ANN401
        """Record a layer, or trace through a module; hooks that change something are traced.

        Raises:
            TraceError: it is given packed sequences, whose sizes follow from values.
        """
        if any(isinstance(argument, PackedSequence) for argument in args):
            raise TraceError("it packs sequences")
        # A module that the forward makes on the spot, as `nn.ReLU()(x)`, is what it computes.
        if self._computing or (m not in (self.submodule_paths or ()) and _holds_nothing(m)):
            return forward(*args, **kwargs)
        if not (m._forward_pre_hooks or m._forward_hooks):
            return super().call_module(m, plain_forward(m) or forward, args, kwargs)
        if not self._hooks_matter(m, forward, args, kwargs):
            return super().call_module(m, plain_forward(m) or m.forward, args, kwargs)
        path = self.path_of_module(m)
        if not self.is_leaf_module(m, path):
            return super().call_module(m, forward, args, kwargs)
        m.__dict__["forward"] = lambda *a, **k: self.create_proxy("call_module", path, a, k)
        try:
            return forward(*args, **kwargs)
        finally:
            del m.__dict__["forward"]

    def create_proxy(  # noqa: PLR0917 (torch.fx's own)
        self,
        kind: str,
        target: Any,  # noqa: ANN401
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any | None = None,  # noqa: ANN401
        proxy_factory_fn: Callable[[torch.fx.Node], Proxy] | None = None,
    ) -> Any:  # noqa: ANN401
        """Record an operation, and compute it for each batch.

        Returns:
            A proxy, or the value itself where it is a truth, a text or a number of dimensions that
            is the same for all inputs.
        """
        if not self.batches:
            return super().create_proxy(
                kind, target, args, kwargs, name, type_expr, proxy_factory_fn
            )
        values = self._values(kind, target, args, kwargs)
        proxies = followed_in((args, kwargs))
        settled = kind == "get_attr" or (
            kind != "placeholder"
            and (_tells_sizes(target, args, values[0]) or all(p._settled for p in proxies))
        )
        if settled and _is_plain(values, _name(target, args)):
            self._note_batch(proxies)
            return values[0]
        proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr, None)
        note_grad_mode(proxy.node, values[0])
        followed = kind_of(values[0])(proxy.node, self, values)
        followed._settled = settled
        if self._works_in_place(kind, target, kwargs):
            # What reads the tensor from here on reads what was made of it, result taken or not.
            for other in (p for p in proxies if p._values[0] is values[0]):
                other._alike.append(followed)
                followed._alike = other._alike
            for other in followed._alike:
                other.node = proxy.node
        # One that gives nothing was called for what it does.
        if not isinstance(values[0], (Tensor, type(None))) and kind in (
            "call_function",
            "call_method",
        ):
            self._numbers.append(proxy.node)
        return None if values[0] is None else followed

    def answer(self, proxy: Followed, use: str) -> Any:  # noqa: ANN401
        """The value of `proxy`, the same for all inputs.

        Raises:
            TraceError: it is not.
        """
        if not proxy._settled:
            raise TraceError(f"it {use} a tensor's value")
        return self.agreed(proxy._values, use)

    def agreed(self, values: Any, use: str) -> Any:  # noqa: ANN401
        """The one of `values`, one a batch, if they are equal.

        Raises:
            TraceError: they depend on the batch.
        """
        if not _agree(values):
            raise TraceError(f"it {use} the batch size")
        return values[0]

    def write(self, proxy: Followed, index: Any, value: Any) -> None:  # noqa: ANN401
        """Give `proxy` the elements that an assignment to a part of it leaves it with."""
        self.written_places.setdefault(place_of_frame(sys._getframe()))
        new = written(proxy, index, value)
        for number, old in enumerate(proxy._values):
            place, part = mapped((index, value), partial(value_of, number=number))
            with self.computing():
                old[place] = part
        proxy.node = new.node

    def _values(self, kind: str, target: Any, args: Any, kwargs: Any) -> tuple[Any, ...]:  # noqa: ANN401
        if kind == "placeholder":
            at = self._names.index(target)
            return tuple([*leaves(batch).values()][at].clone() for batch in self.batches)
        results = []
        for number in range(len(self.batches)):
            args_, kwargs_ = mapped((args, kwargs), partial(value_of, number=number))
            with self.computing():
                results.append(self._run(kind, target, args_, kwargs_))
        return tuple(results)

    def _run(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        if kind == "get_attr":
            path, _, name = target.rpartition(".")
            return getattr(self._modules[path], name).detach().clone()
        if kind == "call_module":
            layer = self._modules[target]
            return type(layer).forward(layer, *args, **kwargs)
        if kind == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)

    def _works_in_place(self, kind: str, target: Any, kwargs: dict[str, Any]) -> bool:  # noqa: ANN401
        if kind == "call_module":
            return bool(getattr(self._modules[target], "inplace", False))
        name = str(getattr(target, "__name__", target))
        return bool(kwargs.get("inplace")) or (name.endswith("_") and not name.endswith("__"))

    def _hooks_matter(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> bool:  # noqa: ANN401
        if not self.batches:
            return True
        outputs = []
        for call in (forward, m.forward):
            args_, kwargs_ = mapped((args, kwargs), lambda leaf: _copy(value_of(leaf, 0)))
            with self.computing(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                outputs.append(call(*args_, **kwargs_))
        try:
            torch.testing.assert_close(*outputs, rtol=0, atol=0, equal_nan=True)
        except (AssertionError, TypeError):
            return True
        return False

    def _note_batch(self, proxies: Iterable[Followed]) -> None:
        numbers = (p for p in proxies if not isinstance(p._values[0], Tensor))
        if not all(_agree(number._values) for number in numbers):
            self.batch_places.setdefault(place_of_frame(sys._getframe()))

    @contextmanager
    def _factories(self) -> Iterator[None]:
        """Record calls of torch's factories that are given sizes; types are asked for limits."""
        if not self.batches:
            yield
            return
        plain = {name: getattr(torch, name) for name in (*FACTORIES, "finfo", "iinfo")}
        own = {name: vars(Tensor).get(name) for name in SIZED}
        for name, function in plain.items():
            setattr(torch, name, self._recorded(function))
        for name in SIZED:
            setattr(Tensor, name, self._recorded_method(name, getattr(Tensor, name)))
        try:
            yield
        finally:
            for name, function in plain.items():
                setattr(torch, name, function)
            for name, method in own.items():
                if method is None:
                    delattr(Tensor, name)
                else:
                    setattr(Tensor, name, method)

    def _recorded(self, function: Any) -> Callable[..., Any]:  # noqa: ANN401
        def record(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if self._computing or not followed_in((args, kwargs)):
                return function(*args, **kwargs)
            if isinstance(function, type):
                return function(self.answer(args[0], "asks for the limits of"))
            return self.create_proxy("call_function", function, args, kwargs)

        return record

    def _recorded_method(self, name: str, method: Any) -> Callable[..., Any]:  # noqa: ANN401
        """A method of constants that is given sizes of what is traced."""

        def record(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if self._computing or is_followed(tensor) or not followed_in((args, kwargs)):
                return method(tensor, *args, **kwargs)
            return self.create_proxy("call_method", name, (tensor, *args), kwargs)

        return record


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Whatever the forward puts into its modules meanwhile is taken out again."""
    contents = [
        (members, dict(members))
        for module in model.modules()
        for members in (vars(module), module._parameters, module._buffers)
    ]
    try:
        yield
    finally:
        for members, before in contents:
            members.clear()
            members.update(before)


def _holds_nothing(module: nn.Module) -> bool:
    """Whether a module has no parameters and no buffers, in itself or in its parts."""
    return not any(True for _ in (*module.parameters(), *module.buffers()))


def _copy(value: Any) -> Any:  # noqa: ANN401
    return value.clone() if isinstance(value, Tensor) else value


def _agree(values: Sequence[Any]) -> bool:
    if isinstance(values[0], Tensor):
        return all(torch.equal(value, values[0]) for value in values)
    return all(value == values[0] for value in values)


def _name(target: Any, args: tuple[Any, ...]) -> Any:  # noqa: ANN401
    return args[1] if target is getattr else target


def _tells_sizes(target: Any, args: tuple[Any, ...], value: object) -> bool:  # noqa: ANN401
    """Whether it asks for a tensor's sizes or type, which its values have no part in."""
    is_of_tensor = args and is_followed(args[0]) and isinstance(args[0]._values[0], Tensor)
    if not is_of_tensor or isinstance(value, Tensor):
        return False
    name = _name(target, args)
    if target is getattr or name in ("size", "numel", "nelement", "stride", "type", *RANKS):
        return True
    return isinstance(name, str) and name.startswith("is_") and name != "is_nonzero"


def _is_plain(values: Sequence[Any], name: Any) -> bool:  # noqa: ANN401
    return (isinstance(values[0], (bool, str)) or name in RANKS) and _agree(values)
