"""Hostile weights, models and pictures: well-formed enough to be read further than noise is."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from tests.faults import texts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from onnx import ModelProto

BOMB_BYTES = 2 << 30
BLOCK = bytes(16 << 20)
Header = dict[str, Any]


class _Touches:
    """Unpickled, it runs a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("touch ../home/owned",)


def edit_safetensors(path: Path, random: Random) -> str:
    """Damage the header of a safetensors file; says how."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    edit = random.choice(HEADER_EDITS)
    edit(header, random)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    told = random.choice((len(text), len(text), len(text), len(text), 2**63, 0, len(text) + 10**9))
    path.write_bytes(struct.pack("<Q", told) + text + content[8 + size :])
    return f"{edit.__name__.strip('_')} header"


def _tensor(header: Header, random: Random) -> Any:
    names = [name for name in header if name != "__metadata__"]
    return header[random.choice(names)]


def _type(header: Header, random: Random) -> None:
    kinds = ("F64", "F16", "BF16", "I32", "I64", "U8", "BOOL", "C64", "F8_E4M3", "ZZ", "", 5)
    _tensor(header, random)["dtype"] = random.choice(kinds)


def _shape(header: Header, random: Random) -> None:
    shape = random.choice(([], [-1], [2**62, 4], [0], ["a"], [1] * 70, None, [2**64], [1.5]))
    _tensor(header, random)["shape"] = shape


def _offsets(header: Header, random: Random) -> None:
    pairs: tuple[Any, ...] = (
        [0, 2**63],
        [-4, 0],
        [4, 0],
        [0, 0],
        [10**9, 10**9 + 4],
        [],
        None,
        [0, 4, 8],
    )
    _tensor(header, random)["data_offsets"] = random.choice(pairs)


def _name(header: Header, random: Random) -> None:
    name = random.choice([name for name in header if name != "__metadata__"])
    header[random.choice(texts.NASTY_TEXTS)] = header.pop(name)


def _lost(header: Header, random: Random) -> None:
    del header[random.choice(list(header))]


def _metadata(header: Header, random: Random) -> None:
    header["__metadata__"] = texts.nasty(random)


def _many(header: Header, random: Random) -> None:
    one = _tensor(header, random)
    header.update({f"more{index}": one for index in range(20_000)})


HEADER_EDITS = (_type, _type, _shape, _offsets, _name, _name, _lost, _metadata, _many)


def edit_checkpoint(path: Path, random: Random) -> str:
    """Put a hostile file in the place of weights that PyTorch saved; says what."""
    edit = random.choice(
        (_other_content, _other_content, _pickled, _zip_bomb, _zip_names, _not_numbers)
    )
    edit(path, random)
    return edit.__name__.strip("_")


def _other_content(path: Path, random: Random) -> None:
    import torch

    state = torch.load(path, weights_only=True)
    name = random.choice(list(state))
    wrong = (
        *(None, 5, "text", [state[name]], {name: state[name]}, torch.zeros(0), torch.tensor(1.0)),
        *(state[name].to(torch.complex64), state[name].to(torch.int32), state[name] * float("nan")),
        *(torch.zeros(1, 1, 1, 1, 1), state[name].to_sparse(), state[name].to(torch.float16)),
    )
    changed = random.choice(
        (
            {**state, name: random.choice(wrong)},
            {**state, random.choice(texts.NASTY_TEXTS): state[name]},
            {key: value for key, value in state.items() if key != name},
            random.choice(wrong),
            {"state_dict": {"state_dict": state}},
            {},
        )
    )
    torch.save(changed, path)


def _not_numbers(path: Path, random: Random) -> None:
    import torch

    state = torch.load(path, weights_only=True)
    value = random.choice((float("nan"), float("inf"), 1e38, 0.0))
    floats = {name: one for name, one in state.items() if one.is_floating_point()}
    torch.save(state | {name: torch.full_like(one, value) for name, one in floats.items()}, path)


def _pickled(path: Path, random: Random) -> None:
    content = pickle.dumps({"weight": _Touches()}, protocol=random.choice((0, 2, 4)))
    if random.random() < 0.5:
        path.write_bytes(content)
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3")


def _zip_bomb(path: Path, _: Random) -> None:
    source = path.read_bytes()
    with (
        zipfile.ZipFile(io.BytesIO(source)) as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for name in old.namelist():
            if not name.endswith("data/0"):
                new.writestr(name, old.read(name))
                continue
            with new.open(name, "w", force_zip64=True) as stream:
                for _block in range(BOMB_BYTES // len(BLOCK)):
                    stream.write(BLOCK)


def _zip_names(path: Path, random: Random) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        name = random.choice(
            ("../../home/owned", "/tmp/owned", "archive/\x1b[31m", "archive/data.pkl")
        )
        archive.writestr(name, "x")


def edit_onnx(path: Path, random: Random) -> str:
    """Damage an ONNX model's meaning; says how."""
    import onnx

    model = onnx.load(path)
    edit = random.choice(ONNX_EDITS)
    edit(model, random)
    path.write_bytes(model.SerializeToString())
    return edit.__name__.strip("_")


def _external(model: ModelProto, random: Random) -> None:
    entries = random.choice(
        (
            {"location": "w.bin", "offset": "-4"},
            {"location": "w.bin", "length": "-1"},
            {"location": "w.bin", "offset": "abc"},
            {"location": "w.bin", "offset": "9" * 5000},
            *({"location": name} for name in (*texts.NASTY_TEXTS[:8], "../home/precious", ".")),
            *({"location": name} for name in ("/dev/zero", "net.onnx", "w.bin", "tiny.toml")),
            {"offset": "0"},
        )
    )
    tensor = random.choice(model.graph.initializer)
    tensor.data_location = tensor.EXTERNAL
    del tensor.external_data[:]
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value.encode("utf-8", "replace").decode()


def _dimension(model: ModelProto, random: Random) -> None:
    size = random.choice((0, -1, 1, 3, 2**40, 2**62, -(2**63)))
    values = [*model.graph.input, *model.graph.output]
    kinds = [value.type.tensor_type for value in values]
    dimensions = [*(d for kind in kinds for d in kind.shape.dim)]
    random.choice(dimensions).dim_value = size


def _free_dimension(model: ModelProto, random: Random) -> None:
    dimension = random.choice(model.graph.input[0].type.tensor_type.shape.dim)
    dimension.dim_param = random.choice(("batch", "", "\x1b[31m", "a\nerror: b", "n" * 5000))


def _weight_shape(model: ModelProto, random: Random) -> None:
    tensor = random.choice(model.graph.initializer)
    shape = random.choice(([], [-1], [2**40], [0], [1] * 100, [2**31, 2**31]))
    del tensor.dims[:]
    tensor.dims.extend(shape)


def _weight_type(model: ModelProto, random: Random) -> None:
    random.choice(model.graph.initializer).data_type = random.choice((0, 2, 8, 10, 11, 16, 99))


def _weight_values(model: ModelProto, random: Random) -> None:
    tensor = random.choice(model.graph.initializer)
    value = random.choice((float("nan"), float("inf"), 1e38))
    tensor.raw_data = struct.pack("<f", value) * (len(tensor.raw_data) // 4)


def _names(model: ModelProto, random: Random) -> None:
    name = random.choice([one for one in texts.NASTY_TEXTS if one.isprintable() or "\x1b" in one])
    node = random.choice(model.graph.node)
    attribute = random.choice(("name", "op_type", "domain"))
    setattr(node, attribute, name.encode("utf-8", "replace").decode())


def _input_name(model: ModelProto, random: Random) -> None:
    name = random.choice(("", "\x1b]0;x\x07", "a\nerror: b", "x" * 10_000, "[/]"))
    old, model.graph.input[0].name = model.graph.input[0].name, name
    for node in model.graph.node:
        for index, given in enumerate(node.input):
            if given == old:
                node.input[index] = name


def _wiring(model: ModelProto, random: Random) -> None:
    one, other = random.choice(model.graph.node), random.choice(model.graph.node)
    if one.input:
        one.input[0] = random.choice((other.output[0], "nowhere", ""))


def _node_lost(model: ModelProto, random: Random) -> None:
    del model.graph.node[random.randrange(len(model.graph.node))]


def _all_lost(model: ModelProto, random: Random) -> None:
    field = random.choice(("node", "input", "output", "initializer"))
    del getattr(model.graph, field)[:]


def _version(model: ModelProto, random: Random) -> None:
    number = random.choice((0, -1, 1, 999, 2**62))
    if random.random() < 0.5:
        model.ir_version = number
    else:
        model.opset_import[0].version = number


ONNX_EDITS: tuple[Callable[[ModelProto, Random], None], ...] = (
    *(_external, _external, _external, _dimension, _free_dimension, _weight_shape, _weight_type),
    *(_weight_values, _names, _input_name, _wiring, _node_lost, _all_lost, _version),
)


def edit_picture(path: Path, random: Random) -> str:
    """Put another picture in a picture's place; says what."""
    edit = random.choice((_huge_picture, _other_picture, _other_picture))
    edit(path, random)
    return edit.__name__.strip("_")


def _huge_picture(path: Path, random: Random) -> None:
    side = random.choice((20_000, 60_000, 2**31 - 1))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(10_000))), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def _other_picture(path: Path, random: Random) -> None:
    from PIL import Image

    mode = random.choice(("1", "L", "P", "RGBA", "CMYK", "I;16", "F"))
    size = random.choice(((1, 1), (1, 500), (16, 16), (3, 2)))
    kind = "TIFF" if mode in ("CMYK", "I;16", "F") else random.choice(("PNG", "GIF", "BMP"))
    Image.new("RGBA" if kind == "PNG" else mode, size).convert(mode if kind != "GIF" else "P").save(
        path, kind
    )
