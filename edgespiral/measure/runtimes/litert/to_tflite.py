"""Makes LiteRT files of modules: `to_tflite.py request.json ...`, in a process of its own.

The Python that runs it has litert-torch. What inputs and outputs are called in a file is written
to `ports.json` beside it, in the module's order; why there is no file, to `failed.txt`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

SIGNATURE = "serving_default"


def main(requests: list[Path]) -> None:
    """Convert all; of several, one that cannot be converted keeps no other from it."""
    sys.path.insert(0, str(requests[0].parent))
    from given_module import reason_of  # type: ignore[import-not-found]

    for request in requests:
        try:
            _convert(request)
        except Exception as error:  # a module's own code runs here, and can fail in any way
            reason = reason_of(error, request)
            if len(requests) == 1:
                raise SystemExit(reason) from None
            (request.parent / "failed.txt").write_text(reason, encoding="utf-8")


def _convert(request: Path) -> None:
    """Write the file and what is to be known of it beside `request`."""
    import litert_torch
    from given_module import given

    folder = request.parent
    module, examples, keywords, _ = given(request)
    model = folder / "model.tflite"
    litert_torch.convert(module, examples, keywords).export(str(model))
    inputs = [*(f"args_{place}" for place in range(len(examples))), *keywords]
    ports = {"input_ports": inputs, "output_ports": _outputs(model)}
    (folder / "ports.json").write_text(json.dumps(ports), encoding="utf-8")


def _outputs(model: Path) -> list[str]:
    """The outputs' names in the module's order: they are numbered."""
    from ai_edge_litert.interpreter import Interpreter

    names: list[str] = Interpreter(str(model)).get_signature_list()[SIGNATURE]["outputs"]
    return sorted(names, key=lambda name: int(re.findall(r"\d+", name)[-1]))


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]])
