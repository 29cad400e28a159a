"""Building an engine of an ONNX file on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgespiral.core.records.exported import EngineFacts
from edgespiral.core.records.schema import now_utc
from edgespiral.core.system.files import replacing, sha256_file
from edgespiral.measure.engine_files import record_path
from edgespiral.measure.model_files import model_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from edgespiral.measure.session import Session


def build_engine(session: Session, model: Path, goal: Path) -> EngineFacts:
    """Build an engine of an ONNX file for a session's target, with its record beside it.

    Raises:
        As `Session.build` does.
    """
    # A record of another engine is seen by its hash, so the engine takes its place first.
    with replacing(record_path(goal)) as record, replacing(goal) as engine:
        answer = session.build(model, engine)
        [built] = answer.engines
        facts = EngineFacts(
            target=session.profile.name,
            sha256=sha256_file(engine),
            model_sha256=model_sha256(model),
            precision=session.precision(model),
            **answer.runtime.model_dump(include={"runtime", "runtime_version", "provider"}),
            built_on=answer.device.device,
            **built.model_dump(exclude={"file"}),
            built_at=now_utc(),
        )
        record.write_text(facts.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return facts
