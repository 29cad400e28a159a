"""onnxruntime-web in a browser, by an agent of its own and a page that it serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgespiral.core.errors import TargetError
from edgespiral.measure.model_files import model_files
from edgespiral.measure.runtimes.agent_answer import agent_document, reading, whole_answer
from edgespiral.measure.runtimes.agent_runtime import AgentRuntime
from edgespiral.measure.runtimes.onnxruntime.profile import layer_times

if TYPE_CHECKING:
    from edgespiral.measure.completed import Completed
    from edgespiral.measure.runtimes.base import Answer, Job
    from edgespiral.measure.runtimes.browser.settings import BrowserSettings

HERE = Path(__file__).parent
BROWSER_AGENT = HERE / "browser_agent.py"
BESIDE_AGENT = ("browser_page.py", "page.html", "page.mjs")
PACKAGE = "onnxruntime-web"
THREADED = "ort-wasm-simd-threaded"
PACKAGE_FILES = {
    "wasm": ("ort.wasm.min.mjs", f"{THREADED}.mjs", f"{THREADED}.wasm"),
    "webgpu": ("ort.webgpu.min.mjs", f"{THREADED}.asyncify.mjs", f"{THREADED}.asyncify.wasm"),
}


OWN = {"threads", "affinity", "browser", "backend", "software_gpu"}


class Browser(AgentRuntime):
    """Runs the browser's agent.

    Args:
        settings: of the profile.
        system_root: the folder that holds the device's `sys` and `proc`.
    """

    def __init__(self, settings: BrowserSettings, *, system_root: str = "/") -> None:
        own = settings.model_dump(include=OWN)
        own |= {"system_root": system_root}
        super().__init__("onnxruntime-web", own, BROWSER_AGENT)
        self._package, self._backend = settings.package, settings.backend

    def pushed(self, job: Job) -> tuple[dict[str, Path], dict[str, object]]:
        """The models, the page and the files of onnxruntime-web.

        Raises:
            ModelError: a model or a part of it is missing.
            TargetError: onnxruntime-web is not here.
        """
        models, names = super().pushed(job)
        beside = [
            {name: f"model-{index}/{name}" for name in model_files(model) if name != model.name}
            for index, model in enumerate(job.models)
        ]
        page = {name: HERE / name for name in BESIDE_AGENT}
        package = {f"ort/{file.name}": file for file in package_files(self._package, self._backend)}
        return {**models, **page, **package}, {**names, "beside": beside}

    def parse(self, completed: Completed, job: Job) -> Answer:
        """The agent's document, held to what was asked for."""
        document = agent_document(completed, job)
        with reading():
            if job.mode == "profile":
                document["layers"] = [layer_times(nodes) for nodes in document.pop("nodes")]
        expected = {"runtime": "browser", "threads": self._settings["threads"]}
        return whole_answer(document, job, expected=expected)


def package_files(package: str | None, backend: str = "wasm") -> list[Path]:
    """The files of onnxruntime-web that a page needs.

    Args:
        package: the folder of the unpacked package; looked for from the working folder if None.
        backend: what computes there.

    Raises:
        TargetError: they are not there.
    """
    above = [Path.cwd(), *Path.cwd().parents]
    folders = [folder / "node_modules" / PACKAGE for folder in above]
    if package is not None:
        folders = [Path(package).expanduser()]
    for folder in folders:
        files = [folder / "dist" / name for name in PACKAGE_FILES[backend]]
        if all(file.is_file() for file in files):
            return files
    raise TargetError(
        f"{PACKAGE} is not here: no dist/{PACKAGE_FILES[backend][0]} with its WebAssembly",
        where=str(folders[0]),
        hint=f"npm install {PACKAGE}, or name its folder: package = PATH, in [runtime]",
    )
