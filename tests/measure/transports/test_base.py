from typing import get_args

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.measure.profile import TargetProfile
from edgespiral.measure.transports import TRANSPORTS


def test_every_kind_a_profile_may_name_is_there() -> None:
    choices = TargetProfile.model_fields["transport"].annotation
    kinds = [get_args(kind)[1].tag for kind in get_args(choices)]
    assert sorted(kinds) == TRANSPORTS.names()


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown transport 'locale'; did you mean local"):
        TRANSPORTS.get("locale")
