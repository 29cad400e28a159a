"""Which nodes of a Ray cluster can do runs of a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgespiral.core.system.versions import __version__
from edgespiral.core.text import printable
from edgespiral.spiral.sweeping import worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NODE = "ray.io/node-id"
ASKED_WITHIN_S = 120.0


@dataclass
class RayNodes:
    """The nodes of a cluster, each asked once whether it has what runs need.

    Attributes:
        ray: the module.
        folder: of the sweep, which every node has to see.
        say: is told which are left out, and why.
    """

    ray: Any
    folder: Path
    say: Callable[[str], None]
    _problems: dict[str, str] = field(init=False, default_factory=dict)

    def with_room_for(self, needs: Mapping[str, float]) -> dict[str, int]:
        """Of nodes that can do such a run: how many at once, by the node's identity.

        Args:
            needs: how much of each resource a run takes, as Ray calls them.
        """
        large = {
            node["NodeID"]: node
            for node in self.ray.nodes()
            if node["Alive"] and _room(node["Resources"], needs)
        }
        self._ask([node for node in large if node not in self._problems])
        return {
            name: _room(node["Resources"], needs)
            for name, node in large.items()
            if not self._problems[name]
        }

    def why_none(self, needs: Mapping[str, float]) -> str:
        """Why there is no node for such a run."""
        problems = [words for words in self._problems.values() if words]
        asked = ", ".join(f"{amount:g} {name}" for name, amount in needs.items() if amount)
        why = f": {problems[0]}" if problems else ""
        return f"no node of the Ray cluster that can do it has {asked}{why}"

    def _ask(self, names: list[str]) -> None:
        self.ray.cloudpickle.register_pickle_by_value(worker)
        asked = {self._asked(name): name for name in names}
        answered, silent = self.ray.wait(
            list(asked), num_returns=len(asked), timeout=ASKED_WITHIN_S
        ) if asked else ((), ())  # fmt: skip
        said = {asked[reference]: self._answer(reference) for reference in answered}
        said |= {asked[reference]: f"does not answer: {asked[reference]}" for reference in silent}
        self._problems |= said
        for words in dict.fromkeys(filter(None, said.values())):
            self.say(f"  a node is left out: {words}")

    def _asked(self, name: str) -> object:
        remote = self.ray.remote(worker.why_unfit).options(
            num_cpus=0, max_retries=0, label_selector={NODE: name}
        )
        return remote.remote(str(self.folder.resolve()), __version__)

    def _answer(self, reference: object) -> str:
        try:
            _, why = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return last_line(error)
        return printable(why)


def last_line(error: BaseException) -> str:
    """Of an error of Ray's, whose words are a traceback of the worker, what it is."""
    lines = str(error).strip().splitlines()
    return printable(lines[-1].strip() if lines else type(error).__name__)


def _room(has: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many runs a node has room for, nothing else being there.

    Example:
        >>> _room({"CPU": 16.0, "GPU": 2.0}, {"CPU": 4, "GPU": 1})
        2
    """
    shares = [has.get(name, 0.0) // amount for name, amount in needs.items() if amount]
    return int(min(shares, default=1))
