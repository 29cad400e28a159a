import pytest

from edgespiral.core.stages.latencies import StageLatency, Stages
from edgespiral.core.statistics.stats import summarise


def stage(rounds_ms):
    return StageLatency(
        stage="decode", what="decode", stats=summarise(rounds_ms), rounds_ms=rounds_ms
    )


def test_what_interrupts_one_sample_in_four_of_each_stage_is_not_in_most_frames():
    # One after another, three in four frames would have one of them.
    interrupted = ((1.0, 9.0, 1.0, 1.0), (1.0, 1.0, 1.0, 9.0)) * 3
    stages = Stages.of("board", "a.jpg", [stage(interrupted)] * 4)
    whole = stages.with_network(((100.0, 120.0, 100.0),) * 6)
    assert (stages.sum.p50_ms, whole.p50_ms) == (4.0, 104.0)
    assert (whole.count, whole.p90_ms) == (6, None)
    stages.require_whole(whole, ((100.0,),) * 6)


def test_figures_that_are_not_those_of_the_samples_are_refused():
    stages = Stages.of("board", "a.jpg", [stage(((1.0,),) * 6)])
    whole = stages.with_network(((100.0,),) * 6)
    with pytest.raises(ValueError, match="p50_ms is 101"):
        stages.require_whole(whole, ((50.0,),) * 6)
    told = stages.model_dump()
    with pytest.raises(ValueError, match="the sum of stages is there exactly where"):
        Stages.model_validate(told | {"sum": None})
    told["each"][0]["refused"] = "no Python"
    with pytest.raises(ValueError, match="either a figure or a reason"):
        Stages.model_validate(told)


def test_as_many_rounds_count_as_the_part_with_the_fewest_has():
    stages = Stages.of("board", "a.jpg", [stage(((1.0,),) * 6), stage(((2.0,),) * 9)])
    assert (stages.sum.count, stages.sum.p50_ms) == (6, 3.0)
    assert stages.most_ms == pytest.approx(3.0)
