"""This machine as a target that measures briefly: what most tests need of a device."""

from edgespiral.measure.profile import TargetProfile

# As a file has it.
BRIEF = """
schema = 1
name = "brief"
[runtime]
kind = "onnxruntime"
[transport]
kind = "local"
[measure]
warmup_ms = 2
rounds = 5
round_ms = 0.5
min_samples = 5
"""


def brief_profile() -> TargetProfile:
    """A local target whose rounds are long enough for verdicts on them."""
    return TargetProfile.model_validate(
        {
            "schema": 1,
            "name": "brief",
            "runtime": {"kind": "onnxruntime"},
            "transport": {"kind": "local", "timeout_s": 60},
            "measure": {"warmup_ms": 2, "rounds": 6, "round_ms": 1, "min_samples": 12},
        }
    )
