"""What each class and code of error means and what to do about it, in Dutch: the texts of /ref/fouten/.

Owns no status, title or class name: those are of schemas/errors.py. A text between backticks is code.
tests/contract/documents/test_pages.py fails for a class or code without an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas import errors
from schemas.application import Scope


@dataclass(frozen=True, slots=True)
class Explanation:
    """The text of one class. codes: what each `code` means if it has several; fields: of invalidParams."""

    meaning: str
    remedy: tuple[str, ...]
    codes: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


FIELD_CODES: Mapping[str, str] = {
    "required": "Het veld is verplicht en ontbreekt.",
    "null": "Het veld is `null`. Laat het weg of geef het een waarde.",
    "blank": "De tekst is leeg of bestaat uit niets dan spaties.",
    "max_length": "De tekst is te lang; in `reason` staat hoeveel tekens er mogen zijn.",
    "invalid": "De waarde heeft niet de goede vorm, bijvoorbeeld geen volledige http- of https-URL, geen "
    "datum en tijd volgens RFC 3339, of iets anders dan een tekst. Op de naam `nonFieldErrors`: de inhoud "
    "als geheel is geen JSON-object. Ook: een naam komt in hetzelfde object meer dan één keer voor.",
    "not_a_list": "Hier hoort een lijst te staan.",
    "not_a_dict": "Hier hoort een object met sleutels en waarden te staan.",
    "unique": "Er is al een kanaal met deze naam. Zoek het op met `GET /api/v1/kanaal?naam=…` en gebruik "
    "dat.",
    "wijzigen-niet-toegelaten": "De naam van een kanaal kan niet veranderen.",
    "bad-url": "De documentatielink antwoordt niet met status 200.",
    "kanaal_naam": "Het abonnement noemt een kanaal dat niet bestaat. Let op hoofdletters en kleine letters.",
    "inconsistent-abonnement-filters": "De filters passen niet bij die van het kanaal. Er mogen namen "
    "ontbreken, of er mogen er meer zijn, maar niet allebei.",
    "no-auth-on-callback-url": "De `callbackUrl` weigerde een bericht zonder `Authorization` niet. Laat "
    "hem dan met 401 of 403 antwoorden, zodat niet iedereen er berichten kan afleveren.",
    "invalid-callback-url": "De `callbackUrl` nam het testbericht niet aan: hij is niet bereikbaar, "
    "reageerde te laat, verwees door, of antwoordde met de opgegeven `auth` iets anders dan 2xx.",
    "message_kanaal": "Het kanaal van het bericht bestaat niet. Maak het eerst aan met `POST "
    "/api/v1/kanaal`.",
    "kenmerken_inconsistent": "De kenmerken passen niet bij de filters van het kanaal. Er mogen namen "
    "ontbreken, of er mogen er meer zijn, maar niet allebei.",
    "future_not_allowed": "De `aanmaakdatum` ligt in de toekomst. Loopt de klok van je server gelijk?",
    "unknown-parameters": "De URL heeft een argument dat hier niet bestaat.",
}

TOKEN_CODES: Mapping[str, str] = {
    "permission_denied": "Er is geen token, de header heeft niet de vorm `Bearer <JWT>`, of je applicatie "
    "heeft de scope niet die hiervoor nodig is. Ook: het abonnement is van een andere applicatie, of de "
    "applicatie heeft al zo veel kanalen of abonnementen als er mogen; in `detail` staat welke van deze.",
    "jwt-decode-error": "Het token is geen leesbare JWT. Is het volledig overgenomen?",
    "missing-client-identifier": "Het token noemt geen `client_id`.",
    "invalid-client-identifier": "De `client_id` in het token is hier niet bekend, of is geen tekst.",
    "invalid-jwt-signature": "De handtekening klopt niet. Meestal is het geheim een ander dan hier bekend "
    "is.",
    "jwt-missing-iat-claim": "Het token mist `iat`: het moment waarop het is gemaakt.",
    "jwt-expired": "Het token is te lang geleden gemaakt (`iat`). Maak een nieuw token, liefst voor elk "
    "verzoek.",
    "jwt-expiredsignatureerror": "Het moment in `exp` is voorbij.",
    "jwt-immaturesignatureerror": "Het moment in `nbf` moet nog komen. Loopt de klok van je server gelijk?",
    "jwt-invalidalgorithmerror": "Het token is niet met HS256 ondertekend.",
    "jwt-invalidaudienceerror": "Het token heeft een `aud`; die is hier niet in gebruik.",
    "jwt-invalidsubjecterror": "De claim `sub` is geen tekst.",
    "jwt-invalidjtierror": "De claim `jti` is geen tekst.",
    "jwt-invalidissuedaterror": "De claim `iat` is geen getal.",
}

ERRORS: Mapping[type[errors.Problem], Explanation] = {
    errors.ValidationError: Explanation(
        "Het verzoek is goed te lezen, maar de gegevens erin voldoen niet. Er is niets opgeslagen of "
        "verstuurd.",
        (
            "Loop `invalidParams` na: alle fouten staan er in één keer in. `name` wijst het veld aan, met "
            "punten en volgnummers voor wat dieper ligt (`kanalen.0.naam`); `nonFieldErrors` gaat over "
            "het geheel.",
            "Laat je programma op `code` beslissen. De tekst in `reason` is voor mensen en kan veranderen.",
            "Hetzelfde verzoek nog eens sturen helpt niet, behalve bij `invalid-callback-url` en "
            "`bad-url` als het andere adres even weg was.",
        ),
        fields=FIELD_CODES,
    ),
    errors.ParseError: Explanation(
        "De inhoud van het verzoek is geen JSON in UTF-8. In `detail` staat waar het misging.",
        (
            "Maak de inhoud met een JSON-bibliotheek in plaats van met tekst aan elkaar te plakken.",
            "Stuur UTF-8, en kijk of er onderweg niets is afgebroken.",
        ),
    ),
    errors.PermissionDenied: Explanation(
        "Er is geen geldig token, of de applicatie van het token mag dit niet. Deze API antwoordt daarop "
        "altijd met 403 en nooit met 401, zoals de standaard voorschrijft.",
        (
            "Zoek de `code` op in de lijst hieronder.",
            "Stuur `Authorization: Bearer <JWT>`, ondertekend met het geheim dat met de beheerder is "
            "afgesproken.",
            "Ontbreekt er een recht, vraag de beheerder dan om de scope die erbij hoort.",
            "Een abonnement kan alleen worden gewijzigd of opgezegd door de applicatie die het nam.",
            "Heeft de applicatie het hoogste aantal abonnementen, zeg dan op wat niet meer nodig is; van een "
            "kanaal kan dat niet. Of vraag de beheerder om een ruimere grens.",
        ),
        codes=TOKEN_CODES,
    ),
    errors.NotFound: Explanation(
        "Op dit adres is niets, of het was er en is verwijderd.",
        (
            "Gebruik de `url` die je bij het aanmaken terugkreeg, zonder er zelf een samen te stellen.",
            "Zet geen `/` aan het eind: `/api/v1/kanaal` bestaat, `/api/v1/kanaal/` niet.",
            "Is een abonnement weg, neem dan een nieuw.",
        ),
    ),
    errors.MethodNotAllowed: Explanation(
        "Het adres bestaat, maar deze methode kan hier niet. Een kanaal verwijderen kan bijvoorbeeld niet.",
        ("Kijk in de header `Allow` van het antwoord welke methoden er wel zijn.",),
    ),
    errors.NotAcceptable: Explanation(
        "De header `Accept` van het verzoek sluit `application/json` uit, en iets anders is er niet.",
        ("Stuur `Accept: application/json`, of laat de header weg.",),
    ),
    errors.RequestTooLarge: Explanation(
        "De inhoud van het verzoek is groter dan de beheerder toestaat, hier (standaard 1 MiB) of in "
        "RabbitMQ; de grens staat in `detail`. Er is niets opgeslagen of verstuurd.",
        (
            "Stuur in een notificatie verwijzingen in plaats van gegevens: afnemers halen die zelf bij de "
            "bron op.",
            "Is de inhoud terecht zo groot, vraag de beheerder dan om een ruimere grens.",
        ),
    ),
    errors.UnsupportedMediaType: Explanation(
        "De header `Content-Type` zegt niet dat de inhoud JSON is.",
        ("Stuur `Content-Type: application/json`. Een `charset=utf-8` erachter mag.",),
    ),
    errors.Throttled: Explanation(
        "Van jouw applicatie zijn nu te veel notificaties tegelijk onderweg: verstuurd, en nog niet "
        "beantwoord. Er is niets opgeslagen of bezorgd.",
        (
            "Wacht zo veel seconden als in de header `Retry-After` staat, en stuur het verzoek dan opnieuw.",
            "Wacht bij grote aantallen notificaties op antwoord voordat je er meer verstuurt.",
        ),
    ),
    errors.ServiceUnavailable: Explanation(
        "De dienst kan nu niets veiligstellen, bijvoorbeeld omdat RabbitMQ even weg is of omdat er te veel "
        "tegelijk onderweg is. Er is niets "
        "aangenomen; het herstelt zich zonder dat er iemand bij hoeft.",
        (
            "Bewaar het bericht, wacht zo veel seconden als in de header `Retry-After` staat, en stuur "
            "het opnieuw.",
            "Een enkele keer is een bericht waarop je deze fout kreeg toch doorgekomen; wie het opnieuw "
            "stuurt, laat het dan twee keer bezorgen.",
        ),
    ),
    errors.LoopDetected: Explanation(
        "Het bericht komt uit een abonnement, hier of bij een andere notificatierouteringcomponent (NRC), en "
        "is al vaker bezorgd dan mag: in de header `nrc-hops` van het antwoord staat hoe vaak. Meestal "
        "sturen twee NRC's elkaars berichten aan elkaar door. Er is niets opgeslagen of bezorgd.",
        (
            "Zoek het abonnement dat het bericht hierheen stuurde (`nrc-abonnement` in het verzoek), en zeg "
            "het op of geef het filters waarbij alleen berichten passen die hier nieuw zijn.",
            "Stuur je berichten bewust door, geef dan de header `nrc-hops` van wat je ontvangt ongewijzigd "
            "mee. Gaan ze door meer NRC's dan hier mag, vraag de beheerder dan om een ruimere grens "
            "(`NRC_MAX_HOPS`).",
            "Hetzelfde bericht nog eens sturen helpt niet.",
        ),
    ),
    errors.APIException: Explanation(
        "Er ging iets mis in dit component zelf.",
        (
            "Geef de waarde van `instance` door aan de beheerder: daarmee is de oorzaak in de logboeken "
            "te vinden.",
            "Probeer het later nog eens. Blijft het misgaan, dan ligt het niet aan je verzoek.",
        ),
    ),
}

SCOPES: Mapping[Scope, str] = {
    Scope.PUBLICEREN: "Kanalen aanmaken en bijwerken, en notificaties versturen. Voor een bron. Geeft ook "
    "inzage in kanalen en abonnementen.",
    Scope.CONSUMEREN: "Abonnementen nemen, en de eigen abonnementen wijzigen en opzeggen. Voor een "
    "afnemer. Geeft ook inzage in kanalen en abonnementen.",
}
