"""Proxies that know their values, and so answer what Python asks of them while tracing."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch.fx
from torch.fx.node import map_aggregate
from torch.fx.proxy import Attribute, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class AnsweringTracer(torch.fx.Tracer, ABC):
    """What a tracer does for proxies that know their values."""

    @abstractmethod
    def computing(self) -> AbstractContextManager[None]:
        """Values are computed meanwhile, and nothing is recorded."""

    @abstractmethod
    def answer(self, proxy: Followed, use: str) -> Any:  # noqa: ANN401
        """The value of `proxy`, the same for all inputs."""

    @abstractmethod
    def agreed(self, values: Any, use: str) -> Any:  # noqa: ANN401
        """The one of `values`, one a batch, if they are equal."""

    @abstractmethod
    def write(self, proxy: Followed, index: Any, value: Any) -> None:  # noqa: ANN401
        """Give `proxy` the elements that an assignment to a part of it leaves it with."""


class Followed(Proxy):
    """A proxy that knows its value for each of the tracer's batches.

    `_settled` says that the value depends on no input's values, at most on sizes. `_alike` has the
    proxies of one tensor that was changed in place, which all stand for what was last made of it.
    """

    tracer: AnsweringTracer

    def __init__(
        self, node: torch.fx.Node, tracer: AnsweringTracer, values: tuple[Any, ...]
    ) -> None:
        super().__init__(node, tracer)
        self._values = values
        self._settled = False
        self._alike = [self]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """That of its value, so that `isinstance` answers as it would."""
        return type(self._values[0])

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__") or "_values" not in self.__dict__:
            raise AttributeError(name)
        with self.tracer.computing():
            value = getattr(self._values[0], name)
        if callable(value):
            return Attribute(self, name)
        if name.startswith("_"):
            return value
        return self.tracer.create_proxy("call_function", getattr, (self, name), {})

    def __bool__(self) -> bool:
        return bool(self.tracer.answer(self, "branches on"))

    def __int__(self) -> int:
        return int(self.tracer.answer(self, "makes a number of"))

    def __float__(self) -> float:
        return float(self.tracer.answer(self, "makes a number of"))

    def __index__(self) -> int:
        return operator.index(self.tracer.answer(self, "counts by"))

    def __len__(self) -> int:
        return int(self.tracer.agreed([len(value) for value in self._values], "asks the length of"))

    def __iter__(self) -> Iterator[Any]:
        value = self._values[0]
        if hasattr(value, "keys"):
            return iter(value)
        return iter([self[place] for place in range(len(self))])  # type: ignore[index]

    def __contains__(self, item: object) -> bool:
        if hasattr(self._values[0], "keys"):
            return item in self._values[0]
        return any(bool(element == item) for element in self)

    def requires_grad_(self, _requires_grad: bool = True) -> Followed:
        """Asks for nothing that a graph has: students train all that they have."""
        return self

    def __setitem__(self, index: Any, value: Any) -> None:  # noqa: ANN401
        self.tracer.write(self, index, value)

    def __format__(self, spec: str) -> str:
        return format(self._values[0], spec) if self._settled else repr(self)


class Number(Followed):
    """A proxy of a number."""

    __iter__ = None  # type: ignore[assignment]
    __len__ = None  # type: ignore[assignment]
    __contains__ = None  # type: ignore[assignment]

    def __round__(self, digits: int | None = None) -> Any:  # noqa: ANN401
        return round(self.tracer.answer(self, "rounds"), digits)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:  # noqa: ANN401
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:  # noqa: ANN401
        return other // self, other % self

    __trunc__ = Followed.__int__

    def __ceil__(self) -> Any:  # noqa: ANN401
        return -(-self // 1)  # type: ignore[operator]

    def __floor__(self) -> Any:  # noqa: ANN401
        return self // 1  # type: ignore[operator]


def kind_of(value: object) -> type[Followed]:
    """The class of proxies for such a value."""
    return Number if isinstance(value, (int, float, complex)) else Followed


def value_of(leaf: Any, number: int) -> Any:  # noqa: ANN401
    """The value for one batch of what may be a proxy."""
    if type(leaf) is Attribute:  # a method that is handed on instead of called
        return getattr(value_of(leaf.root, number), leaf.attr)
    return leaf._values[number] if is_followed(leaf) else leaf


def is_followed(leaf: object) -> bool:
    """Whether it is such a proxy, whatever it passes for."""
    return issubclass(type(leaf), Followed)


def followed_in(arguments: Any) -> list[Followed]:  # noqa: ANN401
    """The proxies among the arguments of a call."""
    proxies: list[Followed] = []

    def take(leaf: Any) -> Any:  # noqa: ANN401
        if is_followed(leaf):
            proxies.append(leaf)
        return leaf

    mapped(arguments, take)
    return proxies


def mapped(arguments: Any, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """`arguments` of a call with each leaf of their tuples, lists, mappings and slices changed."""
    return map_aggregate(arguments, change)
