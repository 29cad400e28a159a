import pytest

from edgespiral.core.records.events import Event, TurnFinished
from edgespiral.core.records.exported import QuantisedTraining, WeightSparsity
from edgespiral.core.records.metric import Metric
from edgespiral.core.records.precisions import PrecisionMix
from edgespiral.report import formats


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0468, "0.047"), (0.468, "0.468"), (4.678, "4.68"), (46.78, "46.8"),
                         (467.8, "468"), (4678.0, "4678")],
)  # fmt: skip
def test_milliseconds_have_about_three_figures(value: float, shown: str) -> None:
    assert formats.ms(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (950, "950"), (999.6, "1 k"), (27_230, "27.2 k"),
                         (999_700, "1 M"), (11_200_000, "11.2 M"), (2.5e9, "2.5 G")],
)  # fmt: skip
def test_counts_have_three_figures_and_a_unit(value: float, shown: str) -> None:
    assert formats.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.44, "0.4 s"), (12.3, "12 s"), (185, "3 min 05 s"),
                         (119.7, "2 min 00 s")],
)  # fmt: skip
def test_durations_read_as_a_person_says_them(value: float, shown: str) -> None:
    assert formats.seconds(value) == shown


def test_a_change_in_accuracy_has_its_sign() -> None:
    assert formats.points(93.1, 92.35) == "\N{MINUS SIGN}0.75"
    assert formats.points(92.0, 92.5) == "+0.50"


def test_a_cut_out_of_reach_claims_no_loss() -> None:
    far = PrecisionMix(
        precision="fp32", latency_ms=0.5, widths={}, cut_nats=None, rounding_nats=0.0
    )
    assert far.lost_nats is None
    assert formats.mix(far) == "0.500 ms at best: out of reach in one step"


def found_in(events: list[Event], **changes: object) -> WeightSparsity:
    turn = next(event for event in events if isinstance(event, TurnFinished))
    assert turn.sparsity is not None
    return turn.sparsity.model_copy(update=changes)


def test_zeros_are_counted_over_all_layers(sparse: list[Event]) -> None:
    found = found_in(sparse)
    assert formats.zeros(found) == (
        "42.8 % of the weights in model.onnx are zero (428 of 1 k, in 1 of 2 layers, 1 of them 2:4)"
    )
    share = found_in(sparse, asked=0.4)
    assert formats.zeros(share).endswith("(428 of 1 k, in 1 of 2 layers)")


def test_zeros_promise_no_more_than_the_target_can_do(sparse: list[Event]) -> None:
    sizes = "40 % smaller compressed file (gzip: 2.4 kB, dense 4 kB)"
    assert formats.sparse_gain(found_in(sparse)) == (
        f"no speed-up expected here, {sizes}: the target's runtime has no kernels that skip "
        "such zeros"
    )
    off = formats.sparse_gain(found_in(sparse, kernels="off"))
    assert off.startswith(f"no speed-up as the target is set, {sizes}; switch on runtime.sparsity")
    on = formats.sparse_gain(found_in(sparse, kernels="on"))
    assert "may run 2:4 layers on sparse tensor cores (Ampere and later)" in on
    assert on.endswith(sizes)
    larger = found_in(sparse, compressed_bytes=4_400)
    assert "10 % larger compressed file" in formats.sparse_gain(larger)


def test_training_that_did_not_help_says_so() -> None:
    done = QuantisedTraining(epochs=0.5, score_before=92.0, score_after=91.9, kept=False)
    assert formats.quantised_training(done, Metric(name="accuracy")).endswith(
        "92.00 -> 91.90 % (\N{MINUS SIGN}0.10), not kept"
    )
