from typing import get_args

import pytest

from edgespiral.core.errors import UsageError
from edgespiral.core.profile import LocalProfile
from edgespiral.measure.transport import TRANSPORTS


def test_every_kind_a_profile_may_name_is_there() -> None:
    assert list(get_args(LocalProfile.model_fields["kind"].annotation)) == TRANSPORTS.names()


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown transport 'locale'; did you mean local"):
        TRANSPORTS.get("locale")
