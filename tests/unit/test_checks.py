"""The reasons that a client reads when its filters do not fit a kanaal."""

from __future__ import annotations

from gateway.checks import group_faults
from tests.make import a_kanaal


def test_the_filter_that_a_kanaal_lacks_is_named_with_those_that_it_has() -> None:
    kanalen = {"zaken": a_kanaal("zaken", "bron", "zaaktype")}
    data = {"kanalen": [{"naam": "zaken", "filters": {"Bron": "1", "zaaktipe": "2"}}]}
    (fault,) = group_faults(data, kanalen)
    assert fault.reason == "Kanaal 'zaken' heeft geen filter 'zaaktipe'; wel: 'bron', 'zaaktype'."
