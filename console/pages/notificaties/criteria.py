"""What is searched for, by the query of the page: the search of `nrc notificaties list`. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode
from uuid import UUID

from console.pages.notificaties.telling import STATES
from ledger.values import OPEN, Search, State
from operating.moments import read_moment, read_span
from operating.notificaties.ids import the_one
from schemas.errors import UsageError

ALL_OPEN = "open"
CHOICES = [
    (ALL_OPEN, "nog niet afgeleverd"),
    *((state.value, text) for state, (_, text) in STATES.items()),
]
"""States to choose from: (value, text)."""
PLAIN = (
    "zoek",
    "hoofdobject",
    "resourceurl",
    "kanaal",
    "resource",
    "actie",
    "applicatie",
    "abonnement",
    "sinds",
    "tot",
    "later",
)
KENMERK, STATE, FAILED = "kenmerk", "toestand", "mislukt"
AFTER, BEFORE = "na", "voor"
"""The last notificatie of the page before, or the first of the page after."""

_TOLD = {
    "hoofdobject": "hoofdObject",
    "resourceurl": "resourceUrl",
    "kanaal": "kanaal",
    "resource": "resource",
    "actie": "actie",
    "applicatie": "van",
    "abonnement": "voor abonnement",
    "sinds": "sinds",
    "tot": "tot",
    "later": "afgeleverd na meer dan",
}
_STATES: Mapping[str, str] = dict(CHOICES)
NOT_A_MOMENT = (
    "{} is geen tijdstip. Schrijf het als 01:46, 28-10 01:46, 28-10-2026, 2026-10-28T01:46 of 2h (geleden)."
)
"""What is said of a field with what is no moment."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """A search, and how the form has it.

    fields: of PLAIN, as typed. kenmerken: as typed. states: as in the query. failed: whether an attempt
    failed. faults: by field, Dutch
    sentences that say what to do; while there are any, `search` is not to be used.
    """

    fields: Mapping[str, str]
    kenmerken: Sequence[str]
    states: Sequence[str]
    failed: bool
    search: Search
    faults: Mapping[str, str]

    @property
    def given(self) -> list[tuple[str, str]]:
        """The query that asks for the same, without a place among its pages."""
        pairs = [(name, value) for name, value in self.fields.items() if value]
        pairs += [(KENMERK, each) for each in self.kenmerken]
        pairs += [(STATE, each) for each in self.states]
        return pairs + ([(FAILED, "ja")] if self.failed else [])

    @property
    def is_text_only(self) -> bool:
        """Whether nothing but one object or id is asked for."""
        return [name for name, _ in self.given] == ["zoek"]

    @property
    def filled_in(self) -> str:
        """What is asked for beside the object, in words; "" when nothing is."""
        told = [f"{text} {self.fields[name]}" for name, text in _TOLD.items() if self.fields[name]]
        told += self.kenmerken
        told += [_STATES.get(each, each) for each in self.states]
        told += ["met een mislukte poging"] if self.failed else []
        return ", ".join(told)

    @property
    def asks_how_it_went(self) -> bool:
        """Whether what failed or came late is asked for."""
        return self.failed or self.search.late is not None

    def marks(self, name: str) -> dict[str, str]:
        """Attributes of a field: whether what was typed is wrong."""
        return {"aria-invalid": "true"} if name in self.faults else {}

    def query(self, **more: str) -> str:
        """The same search as the query of an address, with more of it."""
        return urlencode([*self.given, *more.items()])


def read_criteria(
    query: Mapping[str, Sequence[str]], abonnementen: Sequence[UUID], *, now: float
) -> Criteria:
    """What a query asks for. query: each name with its values. now: Unix seconds."""
    fields = {name: query.get(name, ("",))[0].strip() for name in PLAIN}
    kenmerken = [each.strip() for each in query.get(KENMERK, ()) if each.strip()]
    states = [each for each in query.get(STATE, ()) if each]
    failed = bool(query.get(FAILED))
    faults: dict[str, str] = {}
    search = Search(
        text=fields["zoek"] or None,
        hoofd_object=fields["hoofdobject"] or None,
        resource_url=fields["resourceurl"] or None,
        kanaal=fields["kanaal"] or None,
        resource=fields["resource"] or None,
        actie=fields["actie"] or None,
        client=fields["applicatie"] or None,
        kenmerken=read_kenmerken(kenmerken, faults),
        abonnement=_abonnement(fields["abonnement"], abonnementen, faults),
        states=_states(states, faults),
        failed=failed,
        late=_late(fields["later"], faults),
        after=_moment("sinds", fields["sinds"], faults, now=now),
        before=_moment("tot", fields["tot"], faults, now=now),
    )
    if search.after is not None and search.before is not None and search.after >= search.before:
        faults["tot"] = "'Sinds' ligt niet voor 'Tot', dus hier kan niets tussen liggen. Draai ze om."
    return Criteria(fields, kenmerken, states, failed, search, faults)


def with_one(search: Search, id_: UUID) -> Search:
    """The same, of this one notificatie."""
    return replace(search, text=None, ids=(id_,))


def read_kenmerken(typed: Sequence[str], faults: dict[str, str]) -> dict[str, str]:
    """Kenmerken that are typed as naam=waarde; what is none becomes a fault."""
    found: dict[str, str] = {}
    for each in typed:
        name, separator, value = each.partition("=")
        if not separator or not name.strip():
            faults[KENMERK] = (
                f"Schrijf een kenmerk als naam=waarde, zoals bronorganisatie=517439943; '{each}' is dat niet."
            )
        found[name.strip()] = value
    return found


def _states(typed: Sequence[str], faults: dict[str, str]) -> frozenset[State]:
    found: set[State] = set()
    for each in typed:
        if each == ALL_OPEN:
            found |= OPEN
        elif each in {state.value for state in State}:
            found.add(State(each))
        else:
            faults[STATE] = f"'{each}' is geen toestand van een aflevering. Kies er hieronder een."
    return frozenset(found)


def _late(typed: str, faults: dict[str, str]) -> int | None:
    """Milliseconds."""
    if not typed:
        return None
    try:
        return read_span(typed)
    except ValueError:
        faults["later"] = f"'{typed}' is geen duur. Schrijf het als 200ms, 10s, 5m of 2h."
        return None


def _abonnement(typed: str, known: Sequence[UUID], faults: dict[str, str]) -> UUID | None:
    if not typed:
        return None
    try:
        return read_abonnement(typed, known)
    except ValueError as error:
        faults["abonnement"] = str(error)
        return None


def read_abonnement(typed: str, known: Sequence[UUID]) -> UUID:
    """The abonnement that is typed: any by its whole UUID, else one of `known` by its first characters.

    Raises ValueError with a Dutch sentence.
    """
    try:
        return UUID(typed)
    except ValueError:
        pass
    try:
        found = the_one(typed.lower(), map(str, known), what="abonnement")
    except UsageError:
        raise ValueError(f"Meer dan een abonnement begint met '{typed}'. Geef meer tekens.") from None
    if found is None:
        raise ValueError(
            f"Er is geen abonnement '{typed}'. Geef zijn UUID, of de eerste tekens ervan; een abonnement dat "
            "verwijderd is, heeft zijn hele UUID nodig."
        )
    return UUID(found)


def _moment(name: str, typed: str, faults: dict[str, str], *, now: float) -> int | None:
    if not typed:
        return None
    try:
        return read_moment(typed, now=now)
    except ValueError:
        faults[name] = NOT_A_MOMENT.format(f"'{typed}'")
        return None
