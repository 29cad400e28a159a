import pytest

from edgespiral.core.stages.latencies import StageLatency, Stages
from edgespiral.core.statistics.stats import summarise


def stage(rounds_ms):
    return StageLatency(
        stage="decode", what="decode", stats=summarise(rounds_ms), rounds_ms=rounds_ms
    )


def test_samples_of_a_short_stage_come_from_all_over_its_rounds():
    # The first runs after a load are slow; a network has time for two, a stage for eight.
    short = ((9.0, 9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 1.0),) * 5
    stages = Stages.of("board", "a.jpg", [stage(short)])
    whole = stages.with_network(((100.0, 100.0),) * 5)
    assert whole.count == 10
    assert (whole.p50_ms, stages.sum.p50_ms) == (105.0, 5.0)


def test_as_many_rounds_count_as_the_part_with_the_fewest_has():
    stages = Stages.of("board", "a.jpg", [stage(((1.0,),) * 6), stage(((2.0,),) * 9)])
    assert (stages.sum.count, stages.sum.p50_ms) == (6, 3.0)
    assert stages.most_ms == pytest.approx(3.0)
