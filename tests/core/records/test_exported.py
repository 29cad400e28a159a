import pytest
from pydantic import ValidationError

from edgespiral.core.records.exported import LayerZeros, Parity, WeightSparsity


def test_zeros_are_counted_over_all_layers() -> None:
    rows = [(100, 50), (300, 30)]
    found = WeightSparsity(
        asked=0.2,
        layers=tuple(
            LayerZeros(layer=f"l{i}", operator="Conv", weights=w, zeros=z, two_four=False)
            for i, (w, z) in enumerate(rows)
        ),
        left_dense={},
        kernels="none",
        compressed_bytes=1,
        dense_compressed_bytes=2,
    )
    assert found.zero_share == pytest.approx(0.2)


def test_agreement_is_a_share() -> None:
    with pytest.raises(ValidationError, match="agreement"):
        Parity(samples=1, max_abs_difference=0.0, agreement=99.0, sqnr_db=None)
