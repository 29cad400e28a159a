from edgespiral.core.records.result import Result, TurnCuts
from edgespiral.core.records.widths import GroupCut


def test_a_result_says_what_its_scores_are_of_and_has_its_devices() -> None:
    needed = {name for name, field in Result.model_fields.items() if field.is_required()}
    assert {"metric", "devices"} <= needed
    assert not needed & {"cuts", "precision", "precision_trials"}


def test_cuts_survive_json() -> None:
    cut = GroupCut(name="conv1", before=32, after=16, lost_share=0.25, saved_ms={"host-cpu": 0.01})
    cuts = TurnCuts(turn=1, cuts=(cut,))
    assert TurnCuts.model_validate_json(cuts.model_dump_json()) == cuts
