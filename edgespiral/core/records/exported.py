"""Records of exported files: how near to the model they are, and what they are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgespiral.core.records.metric import Metric
from edgespiral.core.records.schema import Moment, Precision, Printable, Record, Score


class Parity(Record):
    """How an exported model's outputs compare with PyTorch's.

    `agreement` is a share from 0 to 1; `sqnr_db` is None where nothing differs at all.
    """

    samples: int = Field(ge=1)
    max_abs_difference: float = Field(ge=0)
    agreement: float = Field(ge=0, le=1)
    sqnr_db: float | None


class OutputParity(Record):
    """How near the outputs of a file are on a device to those here; of several, the furthest.

    `output` is its name, empty where there is one. `sqnr_db` is None where nothing differs at all.
    """

    samples: int = Field(ge=1)
    output: Printable = ""
    max_abs_difference: float = Field(ge=0)
    sqnr_db: float | None


# An image in base64, of no other characters.
Jpeg = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


class ComparedPicture(Record):
    """A sample as two files see it, drawn by the run's task."""

    sample: Printable
    teacher: Jpeg
    student: Jpeg


class Confusion(Record):
    """How often two files say a class of samples of another one."""

    meant: Printable
    said: Printable
    teacher: int = Field(ge=0)
    student: int = Field(ge=0)


class ComparedText(Record):
    """What two files say of a sample, in words, and what was meant."""

    sample: Printable
    meant: Printable
    teacher: Printable
    student: Printable


class FileEvaluation(Record):
    """How the score of an ONNX file was found: by running that very file on this machine.

    `computed_in` is the precision that the file is written in, which is that of the arithmetic
    here; a target that runs the file in another one was not asked. `samples` are the whole
    validation split, in batches of `batch_size`, as the file ships. `pytorch_score` is of the
    model that the file was exported from, on the same samples, in float32 and in larger batches.
    """

    runtime: str
    provider: str
    computed_in: Precision
    batch_size: int = Field(ge=1)
    samples: int = Field(ge=1)
    pytorch_score: Score


class LayerError(Record):
    """How far one layer of a converted model is from the float one, before its activation.

    `sqnr_db` is of the whole model up to there, `own_sqnr_db` of this layer's rounding alone; None
    where nothing differs. A layer that is not finite overflowed.
    """

    layer: str
    operator: str
    sqnr_db: float | None
    own_sqnr_db: float | None = None
    finite: bool = True


class RestoredLayer(Record):
    """A layer put back to float because an int8 model lost too much; the most damaging is first.

    `damage_nats` is how far its rounding alone moves the outputs (mean Kullback-Leibler
    divergence); `cost_ms` what float costs there, measured on the target in alternation;
    `score_gain` the points won on the validation split when it was put back after those before.
    """

    layer: str
    damage_nats: float
    cost_ms: float
    score_gain: float


class QuantisedTraining(Record):
    """Distillation with the rounding inside it, of an int8 student that had lost too much.

    Scores are the int8 files' on the validation split; `kept` says which one ships.
    """

    epochs: float
    score_before: Score
    score_after: Score
    kept: bool


class DeviceCheck(Record):
    """What a model computes on its device, held against what the same file computes here.

    `not_checked` says why there is nothing else. Scores are over the `samples` of `parity`,
    drawn from the validation split with each class in proportion.
    """

    target: str
    not_checked: str | None = None
    parity: Parity | None = None
    score: Score | None = None
    score_here: Score | None = None


class Quantisation(Record):
    """How an int8 model was made: enough to make it again, and what it did to each layer.

    `samples_sha256` is of the calibration samples' values and labels; `source_sha256` of the float
    file. `kept_float` says why, by layer; `restored` are those of them that were put back to hold
    a floor of the score. `layers` are in the order they run. Scores are of `metric`.
    """

    schema_version: Literal[2] = 2
    precision: Literal["int8"] = "int8"
    form: Literal["tensorrt", "onnxruntime"]
    recipe: str
    recipe_sha256: str
    method: str
    samples: int = Field(ge=1)
    samples_sha256: str
    source_sha256: str
    sha256: str
    kept_float: dict[str, str]
    layers: tuple[LayerError, ...]
    restored: tuple[RestoredLayer, ...] = ()
    parity: Parity | None = None
    device_check: DeviceCheck | None = None
    metric: Metric


class EngineFacts(Record):
    """What a built engine is: of what, by what and for what. It runs there and nowhere else.

    `built_on` is the machine that built it. `gpu` is the one that it was built on and for, None
    where none was needed. `unfused` names quantising steps that stayed on their own and layers
    that stayed in float though their inputs are quantised; None where the builder does not tell.
    """

    schema_version: Literal[1] = 1
    target: str
    sha256: str
    model_sha256: str
    precision: Precision
    runtime: Printable
    runtime_version: Printable
    provider: Printable
    built_on: Printable
    gpu: Printable | None
    compute_capability: Printable | None
    unfused: tuple[str, ...] | None
    warnings: tuple[str, ...]
    built_at: Moment


class LayerZeros(Record):
    """One layer with weights, as an ONNX file has it.

    `two_four` says that at least two of every four weights along its inputs are zero.
    """

    layer: str
    operator: str
    weights: int = Field(ge=1)
    zeros: int = Field(ge=0)
    two_four: bool


class WeightSparsity(Record):
    """The zeros of a student's ONNX file, read back from it, and what they buy.

    `left_dense` says why, by layer. `kernels` is what the target can do with them: nothing
    (`none`), something that its profile leaves off (`off`), or something that is on. Compressed
    sizes are gzip's, of the file and of the same model before its weights were pruned.
    """

    asked: float | Literal["2:4"]
    layers: tuple[LayerZeros, ...]
    left_dense: dict[str, str]
    kernels: Literal["none", "off", "on"]
    compressed_bytes: int = Field(ge=1)
    dense_compressed_bytes: int = Field(ge=1)

    @property
    def zero_share(self) -> float:
        """Zeros among the weights of all layers, from 0 to 1."""
        return sum(row.zeros for row in self.layers) / sum(row.weights for row in self.layers)
