"""Plug-ins by name: modules of a package of ours, and entry points of other distributions.

A built-in plug-in is a module (or a folder) of its kind's package; its name is the module's, with
dashes for underscores, and the module's `PLUGIN` is the thing itself. Another distribution adds one
by an entry point, `[project.entry-points."edgespiral.criteria"]`, whose name is the plug-in's.
Names are listed without importing any of them; each is imported when it is asked for.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from edgespiral.core.errors import MissingExtraError, UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

OWN = "edgespiral"
ATTRIBUTE = "PLUGIN"
MEND = "mend or uninstall that package"
# Of a plug-in of our own: what it imports is at fault.
ASK = "edgespiral doctor says which package cannot be loaded here"
EXTRA = re.compile(r"""^([A-Za-z0-9._-]+).*;.*extra\s*==\s*["']([^"']+)["']""")


@dataclass(frozen=True)
class Plugin:
    """Where a plug-in comes from.

    Attributes:
        name: what users call it.
        reference: "module:attribute".
        distribution: that brings it.
    """

    name: str
    reference: str
    distribution: str

    @property
    def summary(self) -> str:
        """The first line of its module's docstring, read without importing it; empty if none."""
        module = self.reference.partition(":")[0]
        try:
            spec = find_spec(module)
            source = Path(spec.origin or "").read_text(encoding="utf-8") if spec else ""
            docstring = ast.get_docstring(ast.parse(source)) or ""
        except Exception:  # another package's own code runs where its module is inside a package
            return ""
        return docstring.partition("\n")[0].rstrip(".")


class PluginKind(Generic[T]):
    """All plug-ins of one kind.

    Args:
        kind: what a person calls one of them, such as `criterion`.
        package: the package whose modules are the built-in ones.
        group: of the entry points that other distributions add some by.
        shared: modules of the package that are no plug-ins, beside `base`: what plug-ins share.
        needs: attributes that every plug-in has.
    """

    def __init__(
        self,
        kind: str,
        package: str,
        group: str,
        *,
        shared: Sequence[str] = (),
        needs: Sequence[str] = (),
    ) -> None:
        self.kind = kind
        self.group = group
        self._shared = ("base", *shared)
        self._needs = needs
        self._package = package
        self._loaded: dict[str, T] = {}

    def names(self) -> list[str]:
        """All names, sorted; nothing is imported.

        Raises:
            UsageError: two distributions bring a plug-in of the same name.
        """
        return sorted(self._plugins)

    def built_in(self) -> list[str]:
        """Names of those that come with EdgeSpiral, sorted; looks at no other distribution."""
        return sorted(plugin.name for plugin in self._built_in())

    def plugins(self) -> list[Plugin]:
        """Where each comes from, in the order of `names`."""
        return [self._plugins[name] for name in self.names()]

    def check(self, name: str) -> str:
        """`name`, if there is a plug-in of it; nothing is imported.

        Raises:
            UsageError: no such name; the message has the nearest known names.
        """
        if name not in self._plugins:
            raise unknown_name(self.kind, name, self._plugins)
        return name

    def get(self, name: str) -> T:
        """The plug-in called `name`.

        Raises:
            UsageError: no such name, or what bears it cannot be imported or is none of this kind.
            MissingExtraError: it needs a package of one of EdgeSpiral's extras.
        """
        plugin = self._plugins[self.check(name)]
        if name not in self._loaded:
            self._loaded[name] = self._imported(plugin)
        return self._loaded[name]

    @cached_property
    def _plugins(self) -> dict[str, Plugin]:
        plugins: dict[str, Plugin] = {}
        others = [_of_entry_point(entry_point) for entry_point in entry_points(group=self.group)]
        for plugin in (*self._built_in(), *others):
            rival = plugins.get(plugin.name)
            if rival is not None and rival != plugin:
                raise UsageError(
                    f"two plug-ins are called {plugin.name!r}: of {rival.distribution} "
                    f"({rival.reference}) and of {plugin.distribution} ({plugin.reference})",
                    where=self.group,
                    hint="uninstall one of them",
                )
            plugins[plugin.name] = plugin
        return plugins

    def _built_in(self) -> list[Plugin]:
        spec = find_spec(self._package)
        folders = spec.submodule_search_locations if spec else None
        modules = [module.name for module in pkgutil.iter_modules(folders)]
        return [
            Plugin(name.replace("_", "-"), f"{self._package}.{name}:{ATTRIBUTE}", OWN)
            for name in modules
            if not name.startswith("_") and name not in self._shared
        ]

    def _imported(self, plugin: Plugin) -> T:
        module, _, attribute = plugin.reference.partition(":")
        place = f"{self.kind} {plugin.name}"
        try:
            loaded: T = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            extra = extra_of(error.name or "")
            if extra is None:
                raise _not_imported(plugin, place, error) from error
            raise MissingExtraError(f"the {place}", extra) from error
        except Exception as error:
            raise _not_imported(plugin, place, error) from error
        lacks = [name for name in self._needs if not hasattr(loaded, name)]
        if lacks or (self._needs and isinstance(loaded, type)):
            what = f"has no {lacks[0]}" if lacks else "is a class, and an instance is needed"
            raise UsageError(what, where=_where(plugin, place), hint=MEND)
        return loaded


def plugin_of(kind: PluginKind[T], *, besides: Sequence[str] = ()) -> Callable[[str], str]:
    """A validator for fields of records that name a plug-in of `kind`, or are one of `besides`."""

    def check(name: str) -> str:
        names = (*besides, *kind.names())
        if name not in names:
            error = unknown_name(kind.kind, name, names)
            raise ValueError(f"{error.what}, {error.hint}")
        return name

    return check


def extra_of(module: str) -> str | None:
    """The extra of EdgeSpiral that brings a top-level module, if one does."""
    top = module.partition(".")[0]
    try:
        needs = requires(OWN) or []
    except PackageNotFoundError:
        return None
    brought = [(matched[1], matched[2]) for matched in map(EXTRA.match, needs) if matched]
    names = [(name.replace("-", "_").lower(), extra) for name, extra in brought]
    # `mlflow-skinny` brings `mlflow`; a distribution of the very name goes before.
    for brings in (str.__eq__, lambda name, top: name.startswith(f"{top}_")):
        for name, extra in names:
            if brings(name, top.lower()):
                return extra
    return None


def _of_entry_point(entry: EntryPoint) -> Plugin:
    distribution = entry.dist.name if entry.dist else "an unknown distribution"
    return Plugin(entry.name, entry.value, distribution)


def _not_imported(plugin: Plugin, place: str, error: Exception) -> UsageError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UsageError(
        f"cannot be imported: {type(error).__name__}: {reason}",
        where=_where(plugin, place),
        hint=ASK if plugin.distribution == OWN else MEND,
    )


def _where(plugin: Plugin, place: str) -> str:
    return f"{place} of {plugin.distribution} ({plugin.reference})"
