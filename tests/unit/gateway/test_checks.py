"""The reasons that a client reads when its filters do not fit a kanaal."""

from __future__ import annotations

from gateway.api.abonnementen import remarkable
from gateway.api.checks import group_faults
from runtime.settings import Settings
from tests.make import a_kanaal, an_abonnement


def test_the_filter_that_a_kanaal_lacks_is_named_with_those_that_it_has() -> None:
    kanalen = {"zaken": a_kanaal("zaken", "bron", "zaaktype")}
    data = {"kanalen": [{"naam": "zaken", "filters": {"Bron": "1", "zaaktipe": "2"}}]}
    (fault,) = group_faults(data, kanalen, Settings())
    assert fault.reason == "Kanaal 'zaken' heeft geen filter 'zaaktipe'; wel: 'bron', 'zaaktype'."


def test_an_abonnement_that_is_seldom_meant_is_marked() -> None:
    first = an_abonnement(("zaken", {"a": "1", "b": "2"}))
    again = an_abonnement(("zaken", {"b": "2", "a": "1"}))
    other = an_abonnement(("zaken", {"a": "1"}))
    assert remarkable(again, [first, again, other]) == {"same_as": str(first.uuid)}
    assert remarkable(other, [first, again, other]) == {}
    assert remarkable(an_abonnement(), [first]) == {"kanalen": "none: nothing reaches it"}
