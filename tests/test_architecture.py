"""The shape that the code is to keep. Each check is also shown to fail on a bad example."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median

import pytest
from parsed import parsed, trees
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import edgespiral

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edgespiral"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = {path: path.read_text(encoding="utf-8") for path in MODULES}

FOUNDATION = {"core", "data", "models", "tasks"}
SIBLINGS = {"prune", "distill", "export", "measure"}
MAY_IMPORT = (
    {part: {"core"} for part in FOUNDATION | {"report", "loggers"}}
    | dict.fromkeys(SIBLINGS, FOUNDATION)
    | {
        "spiral": FOUNDATION | SIBLINGS | {"report", "loggers"},
        "gate": {"core", "measure", "report"},
        "teacher": FOUNDATION | {"distill"},
        "api": FOUNDATION | SIBLINGS | {"report", "loggers", "spiral", "teacher"},
        "cli": FOUNDATION | SIBLINGS | {"report", "loggers", "spiral", "gate", "teacher", "api"},
        "__init__": {"api", "core", "distill", "measure", "spiral", "tasks", "teacher"},
        "__main__": {"cli", "core"},
        "pytest_plugin": {"core", "gate"},
    }
)
HEAVY = ("torch", "torchvision", "onnx", "onnxruntime", "nni", "pydantic", "numpy", "sklearn")
MOST_FUNCTION_LINES, MEDIAN_FUNCTION_LINES, MOST_FILE_LINES = 60, 12, 400
# A newcomer takes a folder in at one look.
MOST_FOLDER_MODULES = 13
# A module of more lines has tests of its own name; a smaller one may be tested through its door.
LINES_WITHOUT_OWN_TESTS = 100
# What others implement: tests are of those that do.
PROTOCOLS = {"Runtime", "Transport"}
# What a base class already explains.
OVERRIDES = {"forward"}
REGISTRIES = "|".join(("py" + "pi", "python" + "hosted", "npm" + "js", "download\\.py" + "torch"))
WORKPLACE = re.compile(rf"{REGISTRIES}|(?<![\w.~])/(?:work|root|home|opt|Users)/\w", re.IGNORECASE)


@pytest.fixture(scope="module", autouse=True)
def _trees() -> Iterator[None]:
    with trees():
        yield


def part_of(path: Path) -> str:
    """The part of the package that a module belongs to: a subpackage or a top module."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(source: str) -> Iterator[str]:
    """Parts of the package that a source imports anywhere, in functions too."""
    for node in ast.walk(parsed(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            yield "a relative import"
        for name in names:
            words = name.split(".")
            if words[0] == "edgespiral" and len(words) > 1 and words[1] != "__version__":
                yield words[1]


def backward_imports(part: str, source: str) -> set[str]:
    """What a module of `part` imports and may not."""
    return set(imported_parts(source)) - MAY_IMPORT[part] - {part}


def imported_modules(source: str, modules: Iterable[str]) -> set[str]:
    """Those of `modules` that a source imports anywhere, for the type checker alone too."""
    named: set[str] = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names} & set(modules)
            # What is imported from a package besides its modules comes from its `__init__`.
            named |= within if len(within) == len(node.names) else {*within, node.module}
    return named & set(modules)


def single_tasks(source: str, modules: Iterable[str]) -> set[str]:
    """Tasks that a source imports, besides what all of them have in common."""
    tasks = {name for name in imported_modules(source, modules) if ".tasks." in name}
    return tasks - {f"{edgespiral.__name__}.tasks.base"}


def import_circles(sources: Mapping[str, str]) -> list[list[str]]:
    """Modules that import each other, directly or by way of others, given all sources by name."""
    imports = {name: imported_modules(text, sources) - {name} for name, text in sources.items()}
    names = list(imports)
    numbers = {name: number for number, name in enumerate(names)}
    edges = [(numbers[name], numbers[other]) for name in names for other in imports[name]]
    rows, columns = zip(*edges, strict=True) if edges else ((), ())
    graph = coo_array(([True] * len(edges), (rows, columns)), (len(names),) * 2)
    _, component_of = connected_components(graph, connection="strong")
    components: dict[int, list[str]] = {}
    for name, component in zip(names, component_of.tolist(), strict=True):
        components.setdefault(component, []).append(name)
    return [sorted(members) for members in components.values() if len(members) > 1]


def module_name(path: Path) -> str:
    """What a module of the package is imported as."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and length in lines, without the docstring, of every function."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1 - docstring_lines(node)


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines that a function's docstring takes."""
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


def full_folders(modules: Iterable[Path], most: int = MOST_FOLDER_MODULES) -> list[str]:
    """Folders with more modules than `most`, beside `__init__`."""
    counts = Counter(path.parent for path in modules if path.name != "__init__.py")
    return sorted(str(folder) for folder, count in counts.items() if count > most)


def paths_on_map(page: str) -> list[str]:
    """What a page names with a slash, as in `core/text.py` or `spiral/plan/`, without functions."""
    return [path.partition(":")[0] for path in re.findall(r"`([\w./]+/[\w./:]*)`", page)]


def is_on_map(folder: str, page: str) -> bool:
    """Whether a page names a folder of the package, or a part of the package that it is in."""
    parts = Path(folder).parts
    named = {"/".join(parts), *("/".join(parts[:count]) for count in range(2, len(parts)))}
    return any(f"`{name}/`" in page for name in named)


def exists(path: str) -> bool:
    """Whether there is such a file, module or folder, in the package or beside it."""
    places = (PACKAGE / path, PACKAGE / f"{path}.py", ROOT / path)
    return any(place.exists() for place in places)


def undocumented(source: str) -> list[str]:
    """Public functions, classes and methods of public classes that have no docstring."""
    found, waiting = [], list(parsed(source).body)
    while waiting:
        node = waiting.pop()
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if node.name in OVERRIDES or (node.name.startswith("_") and node.name != "__call__"):
            continue
        if ast.get_docstring(node) is None:
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            waiting += node.body
    return found


def doors(source: str) -> list[str]:
    """The names that a package's `__init__` offers."""
    for node in parsed(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def used_names(source: str) -> set[str]:
    """Names that a source imports, reads or takes from a module."""
    used: set[str] = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.alias):
            used.add(node.name.rpartition(".")[2])
        elif isinstance(node, ast.Name):
            used.add(node.id)
        elif isinstance(node, ast.Attribute):
            used.add(node.attr)
    return used


def lacks_own_tests(module: Path, source: str, tests: Path) -> bool:
    """Whether a module, by its path in the package, is too long to go without tests of its name."""
    own = tests / module.parent / f"test_{module.name}"
    return len(source.splitlines()) > LINES_WITHOUT_OWN_TESTS and not own.is_file()


def listed_files() -> list[Path]:
    """Files that git tracks or would: what others get to see."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_imports_flow_one_way() -> None:
    backward = {str(path): backward_imports(part_of(path), SOURCES[path]) for path in MODULES}
    assert {name: imports for name, imports in backward.items() if imports} == {}


def test_nothing_but_tasks_knows_a_single_task() -> None:
    modules = [module_name(path) for path in MODULES]
    outside = [path for path in MODULES if part_of(path) != "tasks"]
    known = {str(path): single_tasks(SOURCES[path], modules) for path in outside}
    assert {name: tasks for name, tasks in known.items() if tasks} == {}


def test_a_known_task_would_be_seen() -> None:
    modules = ["edgespiral.tasks", "edgespiral.tasks.base", "edgespiral.tasks.depth"]
    source = "from edgespiral.tasks import DEFAULT\nfrom edgespiral.tasks.base import Task\n"
    assert single_tasks(source, modules) == set()
    assert single_tasks(f"{source}from edgespiral.tasks.depth import Depth", modules) == {
        modules[2]
    }


def test_no_modules_import_each_other() -> None:
    assert import_circles({module_name(path): text for path, text in SOURCES.items()}) == []


def test_an_import_circle_would_be_seen() -> None:
    sources = {
        "p": "from typing import TYPE_CHECKING",
        "p.a": "from p import b, c",
        "p.b": "if TYPE_CHECKING:\n    from p.d import D",
        "p.c": "import p",
        "p.d": "def f():\n    import p.a",
    }
    assert import_circles(sources) == [["p.a", "p.b", "p.d"]]
    assert import_circles({"p": "from p.c import C", "p.c": "import p"}) == [["p", "p.c"]]
    assert import_circles({"p": "from p import a", "p.a": "x = 1"}) == []


def test_a_backward_import_would_be_seen() -> None:
    hidden = "def f():\n    from edgespiral.measure.session import Session\n"
    assert backward_imports("prune", hidden) == {"measure"}
    assert backward_imports("report", "from edgespiral import spiral") == {"spiral"}
    assert backward_imports("core", "import edgespiral.data") == {"data"}
    assert backward_imports("cli", "from . import app") == {"a relative import"}


def test_the_command_line_starts_without_heavy_packages() -> None:
    code = f"import sys, edgespiral.cli.app; print(*set({HEAVY}) & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_a_heavy_package_would_be_seen_and_a_run_starts_without_what_few_need() -> None:
    code = f"import sys, edgespiral.spiral.run; print(*set({HEAVY}) & set(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(loaded.stdout.split()) == {*HEAVY} - {"torchvision", "nni", "sklearn"}


def test_functions_are_short() -> None:
    lengths = {(path.name, name): n for path in MODULES for name, n in functions(SOURCES[path])}
    assert [where for where, n in lengths.items() if n > MOST_FUNCTION_LINES] == []
    assert median(lengths.values()) < MEDIAN_FUNCTION_LINES


def test_a_long_function_would_be_seen() -> None:
    body = "    x = 1\n" * 70
    assert list(functions(f'def f():\n    """A.\n\n    B.\n    """\n{body}')) == [("f", 71)]


def test_files_are_short() -> None:
    files = [*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert [str(path) for path, count in lines.items() if count >= MOST_FILE_LINES] == []


def test_the_map_of_the_code_is_true() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {str(path.parent.relative_to(PACKAGE)) for path in MODULES} - {"."}
    assert {folder for folder in folders if not is_on_map(folder, page)} == set()
    assert [path for path in paths_on_map(page) if not exists(path)] == []


def test_a_wrong_map_would_be_seen() -> None:
    page = "`core/`, `spiral/plans.py:f` and `flow` in `core/text.py`, `model.py`"
    assert is_on_map("core", page)
    assert not is_on_map("spiral", page)
    assert paths_on_map(page) == ["core/", "spiral/plans.py", "core/text.py"]
    assert [exists(path) for path in paths_on_map(page)] == [True, False, True]


def test_folders_are_taken_in_at_one_look() -> None:
    assert not full_folders(MODULES)


def test_a_full_folder_would_be_seen() -> None:
    inside = [Path(f"attic/{number}.py") for number in range(MOST_FOLDER_MODULES)]
    assert not full_folders([*inside, Path("attic/__init__.py")])
    assert full_folders([*inside, Path("attic/more.py")]) == ["attic"]


def test_every_long_module_has_tests_of_its_name() -> None:
    inside = {path.relative_to(PACKAGE): SOURCES[path] for path in MODULES}
    del inside[Path("__init__.py")]
    tests = ROOT / "tests"
    assert [str(path) for path, text in inside.items() if lacks_own_tests(path, text, tests)] == []


def test_a_long_module_without_tests_would_be_seen(tmp_path: Path) -> None:
    long = "x = 1\n" * (LINES_WITHOUT_OWN_TESTS + 1)
    assert lacks_own_tests(Path("core/new.py"), long, tmp_path)
    assert not lacks_own_tests(Path("core/new.py"), "x = 1\n", tmp_path)
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "test_new.py").touch()
    assert not lacks_own_tests(Path("core/new.py"), long, tmp_path)


def test_every_door_of_a_package_is_tested() -> None:
    used: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        used |= used_names(path.read_text(encoding="utf-8"))
    offered = {
        name for path in MODULES if path.name == "__init__.py" for name in doors(SOURCES[path])
    }
    assert offered - used - PROTOCOLS == set()


def test_a_door_that_no_test_uses_would_be_seen() -> None:
    assert doors('import a\n__all__ = ["open", "shut"]\n') == ["open", "shut"]
    assert used_names("from a import b\nimport c.d\ne.f(g)") == {"b", "d", "e", "f", "g"}


def test_everything_public_is_documented() -> None:
    without = {str(path): undocumented(SOURCES[path]) for path in MODULES}
    assert {name: names for name, names in without.items() if names} == {}


def test_a_missing_docstring_would_be_seen() -> None:
    source = 'class A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\ndef d(): ...\n'
    assert sorted(undocumented(source)) == ["b", "d"]


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    named = []
    for path in listed_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        named += [f"{path.relative_to(ROOT)}: {found[0]}" for found in WORKPLACE.finditer(text)]
    assert named == []


@pytest.mark.parametrize("bad", ["https://py" + "pi.org/simple", "/ro" + "ot/x", "'/ho" + "me/me'"])
def test_a_named_registry_or_place_would_be_seen(bad: str) -> None:
    assert WORKPLACE.search(bad)


def test_requirements_are_hashed_and_name_no_source() -> None:
    for name in ("dev.txt", "docs.txt", "release.txt", "uv.txt"):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        pins = re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)
        hashed = re.findall(r"^[a-z0-9-]+==[^\n]*\\\n +--hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(hashed) > 0
        assert not re.search(r"://|--(extra-)?index|--find-links", text)


def test_the_package_offers_the_python_api() -> None:
    assert callable(edgespiral.compress)
    assert set(edgespiral.__all__) <= set(dir(edgespiral))
    with pytest.raises(AttributeError, match="no attribute 'compres'"):
        _ = edgespiral.compres  # type: ignore[attr-defined]
