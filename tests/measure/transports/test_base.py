import pytest

from edgespiral.core.errors import UsageError
from edgespiral.measure.transports import TRANSPORTS
from edgespiral.measure.transports.base import THIS_MACHINE


def test_every_module_but_what_they_share_is_a_transport_of_its_name() -> None:
    names = TRANSPORTS.built_in()
    assert {"adb", "local", "ssh"} <= set(names)
    for name in names:
        plugin = TRANSPORTS.get(name)
        needed = {"host": "board"} if name == "ssh" else {}
        settings = plugin.settings.model_validate({"kind": name, **needed})
        assert plugin.is_local == (plugin.device_id(settings) == THIS_MACHINE) == (name == "local")


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown transport 'locale'; did you mean local"):
        TRANSPORTS.get("locale")
