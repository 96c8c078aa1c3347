"""The explanations: every sentence in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.explaining import (
    Case,
    Clock,
    Code,
    Explanation,
    FitCode,
    Former,
    Place,
    Reader,
    Returned,
    StateThen,
    dutch,
    explain,
    fit,
    told_state,
    unknown,
)
from ledger.explaining.fitting import only_in
from ledger.ids import new_id
from ledger.values import (
    DELIVERED_ALL_THE_SAME,
    Attempt,
    Cause,
    Delivery,
    Incomplete,
    Key,
    Notificatie,
    State,
)
from router.matching.filters import matches
from schemas import abonnement as abonnementen
from schemas.abonnement import Abonnement, FilterGroup, Hold
from schemas.delivery_options import DeliveryOptions
from schemas.delivery_options.order import Order
from schemas.events.mapping import EventMapping, Rule
from schemas.events.options import CloudEvents
from schemas.fields import EVENTS
from store.registry import ChangedBy
from tests.make import a_kanaal, an_abonnement

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def at(text: str) -> int:
    """Milliseconds of a moment of 29 October 2025, in Amsterdam: `01:46:03.412`; or with its date."""
    whole = text if "T" in text else f"2025-10-29T{text}"
    return round(datetime.fromisoformat(whole).replace(tzinfo=AMSTERDAM).timestamp() * 1000)


RECEIVED = at("01:46:00.250")
NOW = at("01:50")
CLOCK = Clock(NOW)


def a_notificatie(kanaal: str = "zaken", *, unrouted: bool = False) -> Notificatie:
    return Notificatie(
        id=new_id(at=RECEIVED / 1000), received=RECEIVED, client="bron", kanaal=kanaal, resource="status",
        actie="create", size=400, catalogue=7, unrouted=unrouted,
    )  # fmt: skip


def a_delivery(
    state: State,
    *,
    attempts: int = 0,
    last_at: int = RECEIVED,
    next_at: int | None = None,
    round_: int = 0,
    replay: int = 0,
    given: int = 0,
    status: int | None = None,
    ms: float | None = None,
) -> Delivery:
    return Delivery(
        key=Key(uuid4(), uuid4(), replay), state=state, round=round_, attempts=attempts, since=RECEIVED,
        last_at=last_at, next_at=next_at, given=given, status=status, ms=ms,
    )  # fmt: skip


DELIVERED = a_delivery(State.DELIVERED, attempts=1, last_at=at("01:46:03.412"), status=204, ms=38.2)
A500 = Attempt(at=at("01:49"), number=3, kind="http_status", detail="answered 500", status=500, ms=12.0)
REFUSED = Attempt(at=at("01:49"), number=3, kind="connection_refused", detail="refused")
ON_ZAKEN = an_abonnement(("zaken", {}))


def told(
    delivery: Delivery | None = None,
    *,
    abonnement: Abonnement | None = ON_ZAKEN,
    kenmerken: Mapping[str, str] | None = None,
    reader: Reader = Reader.OPERATOR,
    notificatie: Notificatie | None = None,
    gone: bool = False,
    **known: object,
) -> Explanation:
    case = Case(
        clock=CLOCK,
        notificatie=notificatie or a_notificatie(),
        abonnement=abonnement,
        kenmerken=None if gone else kenmerken or {},
        delivery=delivery,
    )
    return explain(replace(case, **known), reader=reader)  # type: ignore[arg-type]


def held(reason: str = "connection_refused: Connection refused by host") -> Abonnement:
    since, probe = at("2025-10-28T23:02") / 1000, at("01:51") / 1000
    return replace(
        ON_ZAKEN,
        state=abonnementen.State.HELD,
        state_reason=reason,
        hold=Hold(since=since, probes=4, next_probe=probe),
    )


def suspended(reason: str) -> Abonnement:
    return replace(ON_ZAKEN, state=abonnementen.State.SUSPENDED, state_reason=reason)


# Filters


@pytest.mark.parametrize(
    ("wanted", "found", "hint"),
    [
        ("Openbaar", "openbaar", "; dit verschilt alleen in hoofdletters"),
        ("openbaar ", "openbaar", "; dit verschilt alleen in spaties"),
        ("zeer geheim", "zeer\u00a0geheim", "; dit verschilt alleen in spaties"),
        ("https://x/1", "https://x/1/", "; dit verschilt alleen in een schuine streep (/) aan het eind"),
        ("https://x/1", "http://x/1", "; dit verschilt alleen in http of https"),
        ("051845623", "51845623", "; dit verschilt alleen in nullen vooraan"),
        ("caf\u00e9", "cafe\u0301", "; dit verschilt alleen in de codering van tekens (Unicode)"),
        (" Openbaar", "openbaar", "; dit verschilt alleen in hoofdletters en spaties"),
        (
            "https://x/1/ ",
            "http://x/1",
            "; dit verschilt alleen in spaties, een schuine streep (/) aan het eind en http of https",
        ),
        ("Openbaar", "geheim", ""),
        ("", " ", ""),
    ],
)
def test_a_filter_that_differs(wanted: str, found: str, hint: str) -> None:
    assert told(
        abonnement=an_abonnement(("zaken", {"vertrouwelijkheidaanduiding": wanted})),
        kenmerken={"vertrouwelijkheidaanduiding": found},
    ).text == (
        f"Niet voor dit abonnement: filter vertrouwelijkheidaanduiding is '{wanted}', de notificatie heeft "
        f"'{found}'. Waarden worden letterlijk vergeleken{hint}."
    )


def test_several_filters_that_differ() -> None:
    wanted = {"a": "1", "b": "X", "c": "3", "d": "4", "e": "5"}
    abonnement = an_abonnement(("zaken", wanted))
    two = told(abonnement=abonnement, kenmerken=wanted | {"a": "2", "b": "x"})
    assert two.text == (
        "Niet voor dit abonnement: filter a is '1', de notificatie heeft '2'; filter b is 'X', de "
        "notificatie "
        "heeft 'x'. Waarden worden letterlijk vergeleken; b verschilt alleen in hoofdletters."
    )
    none = told(abonnement=abonnement, kenmerken=dict.fromkeys(wanted, "-"))
    assert none.text.startswith("Niet voor dit abonnement: filter a is '1', de notificatie heeft '-'; ")
    assert none.text.endswith("; en 2 andere filters ook. Waarden worden letterlijk vergeleken.")
    four = told(abonnement=abonnement, kenmerken=dict.fromkeys("abcd", "-"))
    assert "; en 1 ander filter ook. " in four.text


def test_of_several_groups_the_nearest_is_told() -> None:
    abonnement = an_abonnement(
        ("zaken", {"a": "1", "b": "2"}), ("besluiten", {}), ("zaken", {"a": "x"}), ("zaken", {"a": "y"})
    )
    assert told(abonnement=abonnement, kenmerken={"a": "X", "b": "3"}).text == (
        "Niet voor dit abonnement: filter a is 'x', de notificatie heeft 'X'. Waarden worden letterlijk "
        "vergeleken; dit verschilt alleen in hoofdletters. Van de 3 groepen filters op kanaal zaken komt "
        "deze "
        "het dichtst bij."
    )


def test_another_kanaal() -> None:
    one = told(abonnement=an_abonnement(("documenten", {})))
    assert one.code == FitCode.OTHER_KANAAL
    assert one.text == (
        "Niet voor dit abonnement: het is geabonneerd op kanaal documenten; deze notificatie is van kanaal "
        "zaken."
    )
    many = told(abonnement=an_abonnement(*((f"k{number}", {}) for number in range(8))))
    assert "op de kanalen k0, k1, k2, k3, k4 en nog 3; deze" in many.text
    near = told(abonnement=an_abonnement(("Zaken", {})))
    assert near.text.endswith(
        " Namen van kanalen worden letterlijk vergeleken; dit verschilt alleen in hoofdletters."
    )


def test_no_kanalen() -> None:
    assert told(abonnement=an_abonnement()).text == (
        "Dit abonnement heeft geen kanalen en krijgt daarom nooit iets."
    )


@pytest.mark.parametrize(
    ("filters", "kenmerken", "text"),
    [
        ({}, {"a": "1"}, "Past: er is geen filter op kanaal zaken."),
        ({"a": "*"}, {"a": "1"}, "Past: er is geen filter op kanaal zaken."),
        ({"a": "1"}, {"a": "1"}, "Past: het filter komt overeen."),
        ({"a": "1", "b": "2"}, {"a": "1", "b": "2"}, "Past: alle filters komen overeen."),
        (
            {"zaaktype": "A"},
            {},
            "Past: filter zaaktype telt niet mee, want de notificatie heeft geen kenmerk zaaktype.",
        ),
        (
            {"zaaktype": "A", "a": "1", "b": "2"},
            {"b": "2"},
            "Past: filters zaaktype en a tellen niet mee, want de notificatie heeft die kenmerken niet. "
            "Kanaal zaken heeft kenmerk a niet meer.",
        ),
        (
            {"a": "1", "c": "2"},
            {},
            "Past: filters a en c tellen niet mee, want de notificatie heeft die kenmerken niet. "
            "Kanaal zaken heeft kenmerken a en c niet meer.",
        ),
    ],
)
def test_a_match(filters: dict[str, str], kenmerken: dict[str, str], text: str) -> None:
    found = fit(
        (FilterGroup("zaken", tuple(filters.items())),), "zaken", kenmerken, filters=("zaaktype", "b")
    )
    assert found.matches
    assert found.reason.text == text


NAMES = st.sampled_from(["a", "A_", "b", "object_type", "objectType"])
VALUES = st.sampled_from(["", "1", "01", "x", "X", " x", "http://x", "https://x/", "*"])
GROUPS = st.lists(
    st.builds(
        lambda naam, pairs: FilterGroup(naam, tuple(pairs)),
        st.sampled_from(["zaken", "besluiten"]),
        st.lists(st.tuples(NAMES, VALUES), max_size=3),
    ),
    max_size=4,
)


@given(groups=GROUPS, kenmerken=st.dictionaries(NAMES, VALUES, max_size=4), reader=st.sampled_from(Reader))
def test_it_matches_where_the_predicate_does(
    groups: list[FilterGroup], kenmerken: dict[str, str], reader: Reader
) -> None:
    abonnement = replace(an_abonnement(), kanalen=tuple(groups))
    found = fit(groups, "zaken", kenmerken, filters=("a",), reader=reader)
    assert found.matches == matches(abonnement, "zaken", kenmerken)
    assert found.reason.text.startswith("Past: ") == found.matches


@given(st.text(max_size=8), st.text(max_size=8))
def test_what_alone_differs_is_the_same_both_ways(one: str, other: str) -> None:
    assert only_in(one, other) == only_in(other, one)


# What became of it


@pytest.mark.parametrize(
    ("delivery", "text"),
    [
        (DELIVERED, "Afgeleverd om 01:46:03,412 bij poging 1 (status 204, 38 ms)."),
        (
            replace(DELIVERED, ms=0.3),
            "Afgeleverd om 01:46:03,412 bij poging 1 (status 204, minder dan 1 ms).",
        ),
        (replace(DELIVERED, ms=12345), "Afgeleverd om 01:46:03,412 bij poging 1 (status 204, 12.345 ms)."),
        (replace(DELIVERED, attempts=0, status=None, ms=None), "Afgeleverd om 01:46:03,412."),
        (a_delivery(State.PENDING), "Nog niet afgeleverd: in de wachtrij sinds 01:46."),
        (
            a_delivery(State.RETURNING, round_=1),
            "Nog niet afgeleverd: RabbitMQ was de notificatie kwijt; zij gaat opnieuw naar de wachtrij.",
        ),
        (
            a_delivery(State.STUCK, given=3),
            "Vastgelopen: driemaal opnieuw in de wachtrij gezet, zonder uitkomst. De beheerder moet ernaar "
            "kijken.",
        ),
        (
            a_delivery(State.UNSURE),
            "Onzeker: het grootboek is teruggezet van een oudere kopie, en de notificatie kan sindsdien zijn "
            "afgeleverd. De beheerder beslist.",
        ),
        (
            a_delivery(State.NOT_WANTED),
            "Niet afgeleverd: het abonnement is gewijzigd en wil deze notificatie niet meer.",
        ),
        (
            a_delivery(State.REMOVED, last_at=at("01:48")),
            "Niet afgeleverd: om 01:48 door de beheerder geschrapt.",
        ),
        (
            replace(DELIVERED, key=Key(uuid4(), uuid4(), 2)),
            "Afgeleverd om 01:46:03,412 bij poging 1 (status 204, 38 ms). Dit is herhaling 2: de notificatie "
            "is "
            "op verzoek nog eens verzonden.",
        ),
    ],
)  # fmt: skip
def test_a_delivery(delivery: Delivery, text: str) -> None:
    found = told(delivery)
    assert found.text == text
    assert found.code == delivery.state.value


def test_unrouted() -> None:
    found = told(a_delivery(State.PENDING), notificatie=a_notificatie(unrouted=True))
    assert found.text == (
        "Nog niet afgeleverd: RabbitMQ was er niet of bevestigde niet; de notificatie gaat zodra dat kan "
        "alsnog "
        "naar de wachtrij."
    )
    assert found.code == Code.UNROUTED
    assert told(DELIVERED, notificatie=a_notificatie(unrouted=True)).code == Code.DELIVERED


@pytest.mark.parametrize(
    ("attempts", "most", "next_at", "text"),
    [
        ((A500,), 9, at("02:12:10"), "poging 3 van 9 gaf status 500. Volgende poging om 02:12:10."),
        ((A500,), None, NOW, "poging 3 gaf status 500. Volgende poging zo dadelijk."),
        ((A500,), 2, None, "poging 3 gaf status 500. Volgende poging zo dadelijk."),
        ((), 9, at("02:12:10"), "poging 3 van 9 mislukte. Volgende poging om 02:12:10."),
        (
            (A500, REFUSED),
            9,
            at("2025-10-30T02:12:10"),
            "poging 3 van 9 mislukte (verbinding geweigerd). Volgende poging op 30-10 om 02:12:10.",
        ),
        (
            (replace(A500, kind="redirect", status=302),),
            9,
            at("02:12:10"),
            "poging 3 van 9 mislukte (status 302: een doorverwijzing wordt niet gevolgd). "
            "Volgende poging om 02:12:10.",
        ),
        (
            (REFUSED, replace(A500, number=0, kind="probe")),
            9,
            at("02:12:10"),
            "poging 3 van 9 mislukte (verbinding geweigerd). Volgende poging om 02:12:10.",
        ),
        (
            (replace(REFUSED, kind="new_class", detail="something else"),),
            9,
            at("02:12:10"),
            "poging 3 van 9 mislukte ('something else'). Volgende poging om 02:12:10.",
        ),
    ],
)
def test_retrying(attempts: tuple[Attempt, ...], most: int | None, next_at: int | None, text: str) -> None:
    delivery = a_delivery(State.RETRYING, attempts=3, next_at=next_at)
    found = told(delivery, attempts=attempts, most_attempts=most)
    assert found.text == f"Nog niet afgeleverd: {text}"


@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING])
def test_held(state: State) -> None:
    found = told(a_delivery(state), abonnement=held(), place=Place(5447, 812))
    assert found.text == (
        "Wacht: de callback werkt sinds 23:02 niet (verbinding geweigerd). Er wachten 5.447, deze is nummer "
        "812. "
        "Volgende proef om 01:51."
    )
    assert found.code == Code.HELD
    assert found.reasons[0].facts["state"] == state


@pytest.mark.parametrize(
    ("reason", "place", "text"),
    [
        ("http_status: answered 503", None, "niet (status 503). Volgende"),
        ("loop: answered 508: it has been …", None, "niet (status 508: de notificatie gaat rond tussen "),
        ("", Place(1, 1), "niet. Er wacht verder niets. Volgende"),
        (
            "timeout: no status within 10 s",
            Place(12),
            "niet (geen antwoord binnen de tijd). Er wachten 12. V",
        ),
        ("something", Place(0), "niet (something). Volgende"),
    ],
)
def test_held_with_less_known(reason: str, place: Place | None, text: str) -> None:
    assert text in told(a_delivery(State.PENDING), abonnement=held(reason), place=place).text


def test_a_probe_that_is_due() -> None:
    hold = Hold(since=NOW / 1000 - 60, probes=1, next_probe=NOW / 1000)
    found = told(a_delivery(State.PENDING), abonnement=replace(held(), hold=hold))
    assert found.text.endswith(" Volgende proef zo dadelijk.")


@pytest.mark.parametrize(
    ("reason", "reader", "why"),
    [
        ("callback answered 410 (gone)", Reader.OPERATOR, " (de callback antwoordde met status 410)"),
        ("callback answered 410 (gone)", Reader.CONSUMER, " (de callback antwoordde met status 410)"),
        ("by an operator", Reader.OPERATOR, " (door de beheerder)"),
        ("they have not paid", Reader.OPERATOR, " (they have not paid)"),
        ("they have not paid", Reader.CONSUMER, " (door de beheerder)"),
        ("", Reader.OPERATOR, ""),
    ],
)
def test_suspended(reason: str, reader: Reader, why: str) -> None:
    found = told(a_delivery(State.PENDING), abonnement=suspended(reason), place=Place(12, 3), reader=reader)
    assert found.text == (
        f"Wacht: het abonnement is stilgelegd{why}. Er wachten 12, deze is nummer 3. Het gaat verder zodra "
        f"de "
        "beheerder het hervat."
    )


@pytest.mark.parametrize(
    ("attempts", "done", "gone", "removed", "text"),
    [
        ((A500,), 9, False, None, "poging 9 van 9 gaf status 500. Er komt vanzelf geen poging meer."),
        ((A500,), 9, True, at("01:50"), "poging 9 van 9 gaf status 500. Er komt vanzelf geen poging meer."),
        (
            (replace(A500, number=0, kind="retention"),),
            0,
            False,
            None,
            "de notificatie wachtte langer dan de beheerder toestaat.",
        ),
        (
            (replace(A500, number=0, kind="budget"),),
            0,
            False,
            None,
            "voor dit abonnement wachtte meer dan de beheerder toestaat; dit was de oudste.",
        ),
        ((A500,), 3, True, None, "het abonnement is verwijderd."),
        (
            (A500, replace(A500, number=0, kind="abonnement_removed")),
            9,
            True,
            None,
            "het abonnement is verwijderd.",
        ),
        ((), 0, True, at("01:47"), "het abonnement is verwijderd."),
        ((), 0, False, None, "er is geen poging gedaan."),
    ],
)
def test_undeliverable(
    attempts: tuple[Attempt, ...], done: int, gone: bool, removed: int | None, text: str
) -> None:
    delivery = a_delivery(State.UNDELIVERABLE, attempts=done, last_at=at("01:48"))
    abonnement = None if gone else ON_ZAKEN
    found = told(delivery, attempts=attempts, abonnement=abonnement, removed=removed, most_attempts=9)
    assert found.text == f"Onbestelbaar sinds 01:48: {text}"


@pytest.mark.parametrize(
    ("round_", "returned", "text"),
    [
        (
            1,
            (Returned(at("01:55"), Cause.QUEUE),),
            "Tweemaal verzonden (zelfde webhook-id): om 01:55 is de wachtrij opnieuw gemaakt, en niet zeker "
            "was dat "
            "de eerste was aangekomen.",
        ),
        (
            2,
            (Returned(at("01:52"), Cause.QUEUE), Returned(at("01:55"), Cause.RABBITMQ)),
            "Driemaal verzonden (zelfde webhook-id): om 01:55 was RabbitMQ kwijt wat erin wachtte, en niet "
            "zeker was dat "
            "de eerste was aangekomen.",
        ),
        (
            1,
            (Returned(at("01:55"), Cause.EXCHANGE),),
            "Tweemaal verzonden (zelfde webhook-id): om 01:55 is de exchange van het kanaal opnieuw gemaakt, "
            "en "
            "niet zeker was dat de eerste was aangekomen.",
        ),
        (
            3,
            (),
            "4 maal verzonden (zelfde webhook-id): niet zeker was dat de eerste was aangekomen.",
        ),
        (
            1,
            (Returned(at("01:55"), Cause.OPERATOR),),
            "Tweemaal verzonden (zelfde webhook-id): om 01:55 heeft de beheerder om herhaling gevraagd.",
        ),
        (
            1,
            (Returned(at("01:55"), Cause.EMPTY),),
            "Tweemaal in de wachtrij gezet (zelfde webhook-id): om 01:55 was de wachtrij leeg en deze niet "
            "afgeleverd.",
        ),
        (
            1,
            (Returned(at("01:55"), Cause.OVERTAKEN),),
            "Tweemaal in de wachtrij gezet (zelfde webhook-id): om 01:55 waren latere notificaties al "
            "afgeleverd "
            "en deze niet.",
        ),
        (
            1,
            (Returned(at("01:55"), Cause.DROPPED),),
            "Tweemaal in de wachtrij gezet (zelfde webhook-id): om 01:55 liet RabbitMQ het bericht vallen.",
        ),
        (
            1,
            (Returned(at("01:55"), Cause.UNROUTED),),
            "Aangenomen terwijl RabbitMQ niet bevestigde; om 01:55 naar de wachtrij verzonden.",
        ),
        (
            2,
            (Returned(at("01:52"), Cause.UNROUTED), Returned(at("01:55"), Cause.QUEUE)),
            "Tweemaal verzonden (zelfde webhook-id): om 01:55 is de wachtrij opnieuw gemaakt, en niet zeker "
            "was dat de eerste was aangekomen.",
        ),
    ],
)
def test_sent_again(round_: int, returned: tuple[Returned, ...], text: str) -> None:
    found = told(replace(DELIVERED, round=round_), returned=returned)
    assert found.text == f"Afgeleverd om 01:46:03,412 bij poging 1 (status 204, 38 ms). {text}"


def test_what_seemed_lost_may_have_been_delivered_by_one_whose_word_is_lacking() -> None:
    returned = (Returned(at("01:55"), Cause.EMPTY),)
    during, later = Incomplete(at("01:47"), at("01:50"), 3), Incomplete(at("01:56"), at("01:58"))
    found = told(replace(DELIVERED, round=1), returned=returned, incomplete_since=(during, later))
    assert found.text.endswith(
        "om 01:55 was de wachtrij leeg en deze niet afgeleverd; van 01:47 tot 01:50 is het grootboek niet "
        "volledig (3)."
    )


def test_a_replay_that_was_sent_once() -> None:
    replay = replace(DELIVERED, key=replace(DELIVERED.key, replay=3), round=1)
    assert "verzonden (zelfde webhook-id)" not in told(replay).text
    assert "Tweemaal verzonden" in told(replace(replay, round=2)).text


def test_on_its_way_since_an_operator_asked_for_it() -> None:
    returning = a_delivery(State.RETURNING, round_=1)
    assert told(returning).text.startswith("Nog niet afgeleverd: RabbitMQ was de notificatie kwijt;")
    asked = told(returning, returned=(Returned(at("01:55"), Cause.OPERATOR),))
    assert asked.text.startswith("Nog niet afgeleverd: de beheerder vroeg om herhaling;")


def test_removed_while_an_attempt_was_under_way() -> None:
    removed = a_delivery(State.REMOVED, attempts=1, last_at=at("01:48"))
    assert told(removed).text == "Niet afgeleverd: om 01:48 door de beheerder geschrapt."
    taken = Attempt(at("01:49"), 2, DELIVERED_ALL_THE_SAME, "the callback took it", 204)
    assert told(removed, attempts=(taken,)).text == (
        "Door de beheerder geschrapt om 01:48, en toch afgeleverd om 01:49: poging 2 was toen al begonnen."
    )


def test_why_it_was_sent_though_a_filter_was_there() -> None:
    found = told(DELIVERED, abonnement=an_abonnement(("zaken", {"zaaktype": "A"})))
    assert found.text == (
        "Afgeleverd om 01:46:03,412 bij poging 1 (status 204, 38 ms). Past: filter zaaktype telt niet mee, "
        "want de "
        "notificatie heeft geen kenmerk zaaktype."
    )


# Without a delivery


def test_the_abonnement_was_not_there_yet() -> None:
    assert told(made=at("01:52")).text == (
        "Het abonnement bestond toen nog niet: gemaakt om 01:52, de notificatie kwam om 01:46."
    )
    assert told(made=at("01:46:00.300")).text == (
        "Het abonnement bestond toen nog niet: gemaakt om 01:46:00,300, de notificatie kwam om 01:46:00,250."
    )


def test_the_abonnement_was_not_there_any_more() -> None:
    found = told(abonnement=None, made=at("2025-10-01T12:00"), removed=at("01:30"))
    assert found.text == (
        "Het abonnement bestond toen niet meer: verwijderd om 01:30, de notificatie kwam om 01:46."
    )
    assert found.facts()["matches"] is None
    assert told(abonnement=None).text == "Onbekend: een abonnement met dit UUID is hier niet (meer)."


@pytest.mark.parametrize(
    ("then", "text"),
    [
        (
            (FilterGroup("zaken", (("zaaktype", "A"),)),),
            "Toen gold een ander filter (zaaktype A, tot 02:10).",
        ),
        (
            (FilterGroup("zaken", (("a", "1"), ("b", "2"))), FilterGroup("zaken", (("a", "3"),))),
            "Toen gold een ander filter (a 1, b 2 of a 3, tot 02:10).",
        ),
        ((FilterGroup("besluiten"),), "Toen was het niet op dit kanaal geabonneerd (tot 02:10)."),
    ],
)
def test_another_filter_held_then(then: tuple[FilterGroup, ...], text: str) -> None:
    former = (
        Former((FilterGroup("zaken", (("late", "1"),)),), until=at("02:20"), since=at("02:10")),
        Former(then, until=at("02:10")),
        Former((FilterGroup("zaken"),), until=at("01:00")),
    )
    found = told(kenmerken={"zaaktype": "B", "a": "4"}, former=former)
    assert found.fit is not None
    assert not found.fit.matches
    assert found.text == f"{found.fit.reason.text} {text}"


def test_a_filter_of_an_abonnement_that_was_removed_since() -> None:
    former = (Former((FilterGroup("zaken", (("a", "1"),)),), until=at("02:10"), since=at("01:00")),)
    found = told(abonnement=None, removed=at("02:10"), kenmerken={"a": "2"}, former=former)
    assert found.text == (
        "Niet voor dit abonnement: filter a is '1', de notificatie heeft '2'. Waarden worden letterlijk "
        "vergeleken."
    )


def test_what_it_asked_then_is_forgotten() -> None:
    text = "Niet te zeggen: wat dit abonnement toen vroeg, wordt niet meer bewaard."
    assert told(since=at("01:49")).text == text
    former = (Former((FilterGroup("zaken"),), until=at("02:10"), since=at("01:49")),)
    assert told(former=former, since=at("02:10")).text == text
    assert told(DELIVERED, since=at("01:49")).code == Code.DELIVERED


IN_ORDER = replace(ON_ZAKEN, options=DeliveryOptions(order=Order(setAsideAfter=3600)))


def test_one_that_waits_for_an_earlier_one_and_how_often_it_was_sent_after_that() -> None:
    earlier = uuid4()
    waiting = told(a_delivery(State.RETURNING, round_=2), abonnement=IN_ORDER, waited=2, waits_for=earlier)
    assert waiting.code == Code.WAITS_FOR_EARLIER
    assert waiting.text == (
        f"Nog niet afgeleverd: wacht op een eerdere notificatie over hetzelfde hoofdObject ({earlier})."
    )
    assert waiting.reasons[0].facts["earlier"] == str(earlier)
    # It went into its queue three times, and was sent once.
    delivered = a_delivery(State.DELIVERED, round_=2, attempts=1, last_at=at("01:46:03"), status=204)
    assert told(delivered, abonnement=IN_ORDER, waited=2).text == (
        "Afgeleverd om 01:46:03,000 bij poging 1 (status 204)."
    )


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("01:30", " Latere over hetzelfde hoofdObject wachten erop, tot uiterlijk 02:30."),
        (
            "00:40",
            " Sinds 01:40 apart gezet: latere over hetzelfde hoofdObject wachten er niet meer op.",
        ),
    ],
)
def test_a_head_says_how_long_those_behind_it_wait(first: str, then: str) -> None:
    failed = [
        Attempt(at(moment), number, "http_status", "answered 500", 500)
        for moment, number in (("00:10", 1), ("00:20", 2), (first, 1), ("01:45", 2))
    ]
    head = a_delivery(State.RETRYING, attempts=2, last_at=at("01:45"), next_at=at("01:55"), round_=1)
    text = told(head, abonnement=IN_ORDER, attempts=failed).text
    assert text.endswith(f"Volgende poging om 01:55:00.{then}")
    assert told(head, abonnement=ON_ZAKEN, attempts=failed).text.endswith("Volgende poging om 01:55:00.")


@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING, State.RETURNING])
def test_open_for_an_abonnement_that_was_removed(state: State) -> None:
    found = told(a_delivery(state), abonnement=None)
    assert found.text == "Nog niet afgeleverd, en het abonnement is verwijderd."


def test_no_filter_held_then() -> None:
    former = (Former((FilterGroup("zaken"),), until=at("02:10")),)
    wants_a = an_abonnement(("zaken", {"zaaktype": "A"}))
    found = told(a_delivery(State.NOT_WANTED), abonnement=wants_a, kenmerken={"zaaktype": "B"}, former=former)
    assert found.text == (
        "Niet afgeleverd: het abonnement is gewijzigd en wil deze notificatie niet meer. Toen gold geen "
        "filter "
        "(tot 02:10)."
    )
    assert told(DELIVERED, former=former).text.count("Toen") == 0


def test_one_for_which_a_newer_one_stands() -> None:
    into = str(uuid4())
    note = Attempt(at=at("01:48"), number=0, kind="consolidated", detail=into)
    former = (Former((FilterGroup("zaken"),), until=at("02:10")),)
    found = told(a_delivery(State.NOT_WANTED), attempts=(A500, note), abonnement=ON_ZAKEN, former=former)
    assert found.text == (
        f"Niet apart afgeleverd: de nieuwere notificatie {into} over dezelfde resource kwam ervoor in de "
        "plaats (afleveroptie consolidate)."
    )
    assert (found.code, found.facts()["reasons"][0]["into"]) == (Code.CONSOLIDATED, into)  # type: ignore[index]


def test_what_became_of_the_newer_one_that_stands_for_it() -> None:
    newer, newest = uuid4(), uuid4()
    note = Attempt(at=at("01:48"), number=0, kind="consolidated", detail=str(newer))

    def ends(of: UUID, state: State) -> str:
        stands = replace(a_delivery(state), key=Key(of, ON_ZAKEN.uuid), last_at=at("01:49:02"))
        return told(a_delivery(State.NOT_WANTED), attempts=(note,), abonnement=ON_ZAKEN, stands=stands).text

    assert ends(newer, State.DELIVERED).endswith("(afleveroptie consolidate). Die is om 01:49:02 afgeleverd.")
    assert ends(newer, State.PENDING).endswith(" Die moet nog afgeleverd worden.")
    assert ends(newest, State.UNDELIVERABLE).endswith(f" Daarvoor kwam weer {newest}; die is onbestelbaar.")
    for state in State:
        assert ends(newer, state).count(" Die is ") + ends(newer, state).count(" Die moet ") == 1


def test_a_body_that_is_gone() -> None:
    filtered = an_abonnement(("zaken", {"zaaktype": "A"}))
    found = told(abonnement=filtered, gone=True)
    assert found.code == Code.BODY_GONE
    assert found.text == (
        "Niet te zeggen: de inhoud van deze notificatie wordt niet meer bewaard, en voor dit abonnement is "
        "geen "
        "aflevering genoteerd."
    )
    assert told(abonnement=an_abonnement(("besluiten", {"a": "1"})), gone=True).code == FitCode.OTHER_KANAAL
    assert told(abonnement=an_abonnement(), gone=True).code == FitCode.NO_KANALEN
    assert told(DELIVERED, abonnement=filtered, gone=True).code == Code.DELIVERED


def test_it_matches_and_there_is_no_delivery() -> None:
    text = "Past: er is geen filter op kanaal zaken. Toch is voor dit abonnement geen aflevering genoteerd"
    assert told().text == f"{text}."
    gap = Incomplete(at("01:40"), at("01:47"))
    assert told(incomplete=(gap,)).text == f"{text}; van 01:40 tot 01:47 is het grootboek niet volledig."


def test_unknown() -> None:
    oldest = at("2025-10-28T00:00")
    gap = Incomplete(at("01:40"), at("01:44"), 12)
    begin = "Onbekend: hier is geen notificatie met dit hoofdObject aangenomen sinds 28-10 00:00"
    assert unknown(CLOCK, oldest=oldest).text == f"{begin}."
    assert unknown(CLOCK, oldest=oldest, incomplete=[gap]).text == (
        f"{begin}; van 01:40 tot 01:44 is het grootboek niet volledig (12)."
    )
    more = Incomplete(at("01:48"), None, 3456)
    assert unknown(CLOCK, oldest=oldest, incomplete=[gap, more]).text == (
        f"{begin}; van 01:40 tot 01:44 (12) en van 01:48 tot nu (3.456) is het grootboek niet volledig."
    )
    assert unknown(CLOCK, oldest=oldest, incomplete=[Incomplete(None, at("01:44"))]).text == (
        f"{begin}; tot 01:44 is het grootboek niet volledig."
    )
    assert unknown(CLOCK, oldest=None, by="dit id").text == "Onbekend: het grootboek is leeg."


# Who reads it


def test_a_consumer_does_not_see_the_value_that_did_not_match() -> None:
    abonnement = an_abonnement(("zaken", {"a": "Openbaar"}))
    found = told(abonnement=abonnement, kenmerken={"a": "openbaar"}, reader=Reader.CONSUMER)
    assert found.text == (
        "Niet voor dit abonnement: filter a is 'Openbaar', de notificatie heeft een andere waarde. Waarden "
        "worden "
        "letterlijk vergeleken, ook hoofdletters, spaties en een schuine streep (/) aan het eind."
    )
    assert "openbaar" not in str(found.facts())
    assert "differsOnlyIn" not in str(found.facts())


def test_a_consumer_does_not_see_which_other_kanaal_it_was() -> None:
    found = told(abonnement=an_abonnement(("documenten", {})), reader=Reader.CONSUMER)
    assert found.text == (
        "Niet voor dit abonnement: het is geabonneerd op kanaal documenten; deze notificatie is van een "
        "ander "
        "kanaal."
    )
    assert "zaken" not in str(found.facts())


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("reader", Reader)
def test_the_source_is_in_nothing_that_is_told(state: State, reader: Reader) -> None:
    facts = told(a_delivery(state, attempts=2), attempts=(A500,), reader=reader).facts()
    assert "bron" not in str(facts)


def test_facts_are_json() -> None:
    import orjson

    kanaal = a_kanaal("zaken", "a")
    found = told(abonnement=an_abonnement(("zaken", {"a": "X"})), kenmerken={"a": "x"}, kanaal=kanaal)
    facts = orjson.loads(orjson.dumps(found.facts()))
    assert facts["code"] == "filter_differs"
    assert facts["matches"] is False
    assert facts["reasons"][0]["filters"] == [
        {"filter": "a", "wanted": "X", "found": "x", "differsOnlyIn": ["hoofdletters"]}
    ]


# Times and numbers


@pytest.mark.parametrize(
    ("moment", "now", "bare", "with_at"),
    [
        ("2025-10-29T01:46", "2025-10-29T23:50", "01:46", "om 01:46"),
        ("2025-10-28T23:02", "2025-10-29T01:50", "23:02", "om 23:02"),
        ("2025-10-28T23:02", "2025-10-29T12:00", "28-10 23:02", "op 28-10 om 23:02"),
        ("2025-10-30T01:00", "2025-10-29T23:00", "01:00", "om 01:00"),
        ("2024-10-28T23:02", "2025-10-29T12:00", "28-10-2024 23:02", "op 28-10-2024 om 23:02"),
    ],
)
def test_a_date_is_told_where_another_moment_could_be_meant(
    moment: str, now: str, bare: str, with_at: str
) -> None:
    clock = Clock(at(now))
    assert (clock.bare(at(moment)), clock.at(at(moment))) == (bare, with_at)


def test_the_hour_that_is_there_twice_in_october() -> None:
    first = round(datetime.fromisoformat("2025-10-26T00:30:00+00:00").timestamp() * 1000)
    clock = Clock(first)
    assert clock.bare(first) == "02:30 (zomertijd)"
    assert clock.bare(first + 3_600_000) == "02:30 (wintertijd)"
    assert clock.bare(first + 2 * 3_600_000) == "03:30"
    assert clock.to_millisecond(first + 7) == "om 02:30:00,007 (zomertijd)"


def test_another_zone() -> None:
    assert Clock(NOW, ZoneInfo("UTC")).to_millisecond(at("01:46:03.412")) == "om 00:46:03,412"


def test_numbers_and_lists() -> None:
    assert [dutch.number(value) for value in (0, 999, 5447, 1234567)] == ["0", "999", "5.447", "1.234.567"]
    assert dutch.listed(["a"]) == "a"
    assert dutch.listed(["a", "b"]) == "a en b"
    assert dutch.listed(list("abcdefg")) == "a, b, c, d, e en nog 2"
    assert dutch.quoted("x" * 1000) == f"'{'x' * 200}…'"


# The state of the abonnement then


def a_state(
    state: abonnementen.State, since: str, until: str | None, by: ChangedBy, reason: str = ""
) -> StateThen:
    return StateThen(state, reason, by, at(since), None if until is None else at(until))


ACTIVE, HELD, SUSPENDED = abonnementen.State
HELD_THEN = (
    a_state(ACTIVE, "2025-10-28T10:00", "2025-10-28T23:02", ChangedBy.MADE),
    a_state(HELD, "2025-10-28T23:02", "01:48", ChangedBy.CALLBACK, "timeout: no answer within 10 s"),
    a_state(ACTIVE, "01:48", None, ChangedBy.CALLBACK),
)
LATE = replace(DELIVERED, last_at=at("01:48:09"))


def test_what_was_held_when_it_came_says_so() -> None:
    explained = told(LATE, states=HELD_THEN)
    assert explained.text == (
        "Afgeleverd om 01:48:09,000 bij poging 1 (status 204, 38 ms). Van 23:02 tot 01:48 werd het "
        "abonnement vastgehouden, want de callback werkte niet (geen antwoord binnen de tijd); toen "
        "antwoordde de callback weer."
    )
    assert explained.state == HELD_THEN[1]
    assert explained.facts()["stateThen"] == "held"
    assert told_state(explained.state, CLOCK) == "vastgehouden sinds 23:02 (geen antwoord binnen de tijd)"
    assert explained.reasons[1].facts["periods"] == [
        {"state": "held", "since": "2025-10-28T22:02:00.000Z", "until": "2025-10-29T00:48:00.000Z"}
    ]


def test_a_hold_that_was_over_or_began_after_the_outcome_explains_nothing() -> None:
    before = [
        HELD_THEN[0],
        replace(HELD_THEN[1], until=at("01:40")),
        replace(HELD_THEN[2], since=at("01:40")),
    ]
    after = [
        a_state(ACTIVE, "01:00", "01:47", ChangedBy.MADE),
        a_state(HELD, "01:47", "01:48", ChangedBy.CALLBACK, "timeout: none"),
        a_state(ACTIVE, "01:48", None, ChangedBy.CALLBACK),
    ]
    for states in (before, after):
        explained = told(DELIVERED, states=states)
        assert len(explained.reasons) == 1
        assert explained.state is not None
        assert explained.state.state is ACTIVE
    assert told_state(told(DELIVERED, states=after).state, CLOCK) == "actief sinds 01:00"
    assert told(DELIVERED).state is None
    assert told_state(None, CLOCK) == "niet bekend"
    assert told(None, states=HELD_THEN).state == HELD_THEN[1], "also where nothing was for it"


def test_why_it_was_suspended_is_for_operators() -> None:
    states = [
        a_state(SUSPENDED, "01:00", "01:48", ChangedBy.OPERATOR, "verhuizing van Jan"),
        a_state(ACTIVE, "01:48", None, ChangedBy.OWNER),
    ]
    explained = told(LATE, states=states)
    assert explained.reasons[1].text == (
        "Van 01:00 tot 01:48 was het abonnement stilgelegd (verhuizing van Jan); "
        "toen wijzigde de afnemer het."
    )
    own = told(LATE, states=states, reader=Reader.CONSUMER)
    assert "Jan" not in own.text
    assert "stilgelegd (door de beheerder)" in own.text
    assert (
        told_state(own.state, CLOCK, reader=Reader.CONSUMER) == "stilgelegd sinds 01:00 (door de beheerder)"
    )


def test_a_present_hold_is_told_once() -> None:
    states = [HELD_THEN[0], replace(HELD_THEN[1], until=None)]
    held = replace(
        ON_ZAKEN,
        state=HELD,
        state_reason="timeout: no answer within 10 s",
        hold=Hold(at("2025-10-28T23:02") / 1000, 3, at("01:51") / 1000),
    )
    explained = told(a_delivery(State.PENDING), abonnement=held, states=states)
    assert [reason.code for reason in explained.reasons] == [Code.HELD]
    assert explained.state == states[1]


def test_many_holds_are_one_sentence() -> None:
    states = []
    for minute in range(10, 40, 10):
        states.append(
            a_state(
                ACTIVE, f"01:{minute - 5}" if minute > 10 else "00:05", f"01:{minute}", ChangedBy.CALLBACK
            )
        )
        states.append(a_state(HELD, f"01:{minute}", f"01:{minute + 5}", ChangedBy.CALLBACK, "timeout: none"))
    states.append(a_state(ACTIVE, "01:35", None, ChangedBy.CALLBACK))
    early = a_notificatie()._replace(received=at("01:07"))
    explained = told(DELIVERED, states=states, notificatie=early)
    assert explained.reasons[1].text == (
        "Van 01:10 tot 01:35 werd het abonnement 3 maal vastgehouden of stilgelegd."
    )


# CloudEvents


@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING, State.RETURNING])
def test_of_what_waits_it_is_told_that_its_mapping_makes_no_event_of_it(state: State) -> None:
    waits = a_delivery(state, attempts=1, next_at=at("01:51"))

    def asking(mapping: str) -> Abonnement:
        return replace(ON_ZAKEN, options=DeliveryOptions(cloudevents=CloudEvents(mapping=mapping)))

    other = a_notificatie()._replace(actie="update")
    found = told(waits, abonnement=asking("mijnoverheid"), notificatie=other)
    assert found.text.endswith(
        " Ook als zij aan de beurt is, wordt zij niet verzonden: in de mapping mijnoverheid wordt "
        "zaken/status/update geen CloudEvent. MijnOverheid krijgt alleen zaken/status/create, zaken/zaak/"
        "read en zaken/zaak/destroy."
    )
    assert found.reasons[-1].code == "no_event"
    assert found.reasons[0].code == state.value
    gone = told(waits, abonnement=asking("eigen"), notificatie=other)
    assert gone.reasons[-1].code == "no_mapping"
    assert "De mapping eigen naar CloudEvents is er niet (meer): elke poging mislukt" in gone.text
    rule = Rule.model_validate({"kanaal": "zaken", "type": "nl.example.x"})
    mappings = {"eigen": EventMapping(rules=(rule,))}
    for sent in (
        told(waits, abonnement=asking("eigen"), notificatie=other, mappings=mappings),
        told(waits, abonnement=asking("mijnoverheid")),
        told(waits, notificatie=other),
        told(DELIVERED, abonnement=asking("mijnoverheid"), notificatie=other),
        told(waits, abonnement=asking("mijnoverheid"), notificatie=other._replace(kanaal=EVENTS)),
    ):
        assert {each.code for each in sent.reasons} & {"no_event", "no_mapping"} == set()
