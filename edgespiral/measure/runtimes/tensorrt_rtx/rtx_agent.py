"""Builds engines with TensorRT for RTX: `rtx_agent.py request.json` prints one JSON document.

This file runs in a process of its own, beside `agent.py`: the builder is native code, and what ends
it must not end a run. It needs the package `tensorrt_rtx` and no GPU.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# A Python in its isolated or safe mode does not look beside the program by itself.
sys.path.insert(0, str(Path(__file__).parent))

from agent import AgentError, device_facts, serve  # type: ignore[import-not-found]

if TYPE_CHECKING:
    Json = dict[str, Any]

PACKAGE = "tensorrt-rtx-cu13"
LISTING = "Layers:"
LONGEST_COMPLAINT = 300


def main(request: Json) -> Json:
    """Build what the request says and return the document to print."""
    trt = _package()
    builder = Builder(trt, request)
    capability = request["compute_capability"]
    return {
        "answers": [builder.built(index) for index in range(len(request["models"]))],
        "device": device_facts(Path("/")),
        "runtime": {
            "runtime": "tensorrt-rtx",
            "runtime_version": trt.__version__,
            "python_version": platform.python_version(),
            "provider": f"gpu of compute capability {capability}",
            "threads": 1,
        },
        "before": {},
        "after": {},
    }


class Builder:
    """The package's builder with its one logger: it keeps the first that it is given."""

    def __init__(self, trt: Any, request: Json) -> None:  # noqa: ANN401
        self._trt, self._request = trt, request
        self._capability = _capability(trt, request["compute_capability"])
        self._log = _logger(trt)
        self._builder = trt.Builder(self._log)

    def built(self, index: int) -> Json:
        """Build one model's engine and say where it is."""
        self._log.clear()
        network = self._parsed(index)
        plan = self._builder.build_serialized_network(network, self._config(network, index))
        if plan is None:
            raise AgentError("model", f"cannot be built: {self._log.complaint()}", model=index)
        goal = Path("engines") / f"{index}.engine"
        goal.parent.mkdir(exist_ok=True)
        goal.write_bytes(plan)
        return {
            "file": str(goal),
            "compute_capability": self._request["compute_capability"],
            "layers": self._log.layers,
            "warnings": list(dict.fromkeys(self._log.warnings)),
        }

    def _parsed(self, index: int) -> Any:  # noqa: ANN401
        typed = 1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = self._builder.create_network(typed)
        parser = self._trt.OnnxParser(network, self._log)
        if not parser.parse_from_file(self._request["models"][index]):
            errors = [parser.get_error(number) for number in range(parser.num_errors)]
            words = "; ".join(_described(error) for error in errors) or self._log.complaint()
            raise AgentError("model", f"cannot be parsed: {words}", model=index)
        return network

    def _config(self, network: Any, index: int) -> Any:  # noqa: ANN401
        config = self._builder.create_builder_config()
        config.profiling_verbosity = self._trt.ProfilingVerbosity.DETAILED
        config.num_compute_capabilities = 1
        config.set_compute_capability(self._capability, 0)
        sizes = self._builder.create_optimization_profile()
        inputs = [network.get_input(number) for number in range(network.num_inputs)]
        open_ended = [
            model_input.name
            for model_input in inputs
            if any(size < 0 for size in model_input.shape)
        ]
        for name in open_ended:
            shape = self._request["shapes"].get(name)
            if shape is None:
                hint = f"give it: --shape {name}:1x3x224x224"
                raise AgentError("model", f"input {name} has no fixed size", hint=hint, model=index)
            sizes.set_shape(name, shape, shape, shape)
        if open_ended:
            config.add_optimization_profile(sizes)
        return config


def _package() -> Any:  # noqa: ANN401
    try:
        import tensorrt_rtx  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        what = f"TensorRT for RTX cannot be imported: {error}"
        raise AgentError("target", what, hint=f"install it: pip install {PACKAGE}") from error
    return tensorrt_rtx


def _capability(trt: Any, wanted: str) -> Any:  # noqa: ANN401
    capabilities = {
        f"{name[2:-1]}.{name[-1]}": value
        for name, value in trt.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    if wanted not in capabilities:
        names = ", ".join(sorted(capabilities, key=float))
        what = f"TensorRT for RTX {trt.__version__} does not build for compute capability {wanted}"
        hint = f"it builds for {names}: choose one in the target's [runtime] compute_capability"
        raise AgentError("target", what, hint=hint)
    return capabilities[wanted]


def _described(error: Any) -> str:  # noqa: ANN401
    at = f" at {error.node_name()} ({error.node_operator()})" if error.node_name() else ""
    return " ".join(f"{error.desc()}{at}".split())[:LONGEST_COMPLAINT]


def _logger(trt: Any) -> Any:  # noqa: ANN401
    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.clear()

        def clear(self) -> None:
            self.warnings: list[str] = []
            self.errors: list[str] = []
            self.layers: str | None = None

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                self.warnings.append(message)
            elif message.startswith(LISTING):
                self.layers = message

        def complaint(self) -> str:
            return " ".join(" ".join(self.errors).split())[-LONGEST_COMPLAINT:] or "no reason given"

    return Logger()


if __name__ == "__main__":
    serve(main)
