from edgespiral.core.records.schema import now_utc


def test_times_are_utc_to_the_second() -> None:
    now = now_utc()
    assert now.utcoffset() is not None
    assert now.isoformat().endswith("+00:00")
    assert now.microsecond == 0
