"""How long does it take to find the abonnementen that match, by the index and by the plain predicate?"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable, Collection
from time import process_time
from uuid import UUID, uuid4

from router.matching.filters import matches
from router.matching.index import Index
from schemas.abonnement import Abonnement, FilterGroup

SEED = 1
SHAPES = [
    ("bronorganisatie",),
    ("bronorganisatie", "zaaktype"),
    ("zaaktype", "vertrouwelijkheidaanduiding"),
    (),
]
OFTEN = [30, 40, 29, 1]
LEVELS = ["openbaar", "zaakvertrouwelijk", "geheim"]


def matching(options: argparse.Namespace) -> None:
    """CPU time per notificatie with 100 and 10,000 abonnementen: all kenmerken given, and one absent."""
    for count in (100, 10_000):
        rng = random.Random(SEED)
        abonnementen = [_abonnement(rng, count) for _ in range(count)]
        begin = process_time()
        index = Index()
        for each in abonnementen:
            index.put(each)
        built = (process_time() - begin) / count
        whole = [_kenmerken(rng, count) for _ in range(1000)]
        lacking = [{name: each[name] for name in each if name != "zaaktype"} for each in whole]

        def by_predicate(
            kenmerken: dict[str, str], abonnementen: list[Abonnement] = abonnementen
        ) -> Collection[UUID]:
            return [each.uuid for each in abonnementen if matches(each, "zaken", kenmerken)]

        def by_index(kenmerken: dict[str, str], index: Index = index) -> Collection[UUID]:
            return index.matching("zaken", kenmerken)

        for what, messages in (("all kenmerken", whole), ("one absent", lacking)):
            some = messages[: max(10, 100_000 // count)]
            found = [len(by_index(each)) for each in some]
            if found != [len(by_predicate(each)) for each in some]:
                raise SystemExit("the index and the predicate differ")
            print(
                f"{count} abonnementen, {what}: {statistics.mean(found):.1f} match; "
                f"index {_each(by_index, messages, options.runs):.1f} µs, "
                f"predicate {_each(by_predicate, some, options.runs):.0f} µs a notificatie"
            )
        begin = process_time()
        for each in abonnementen[:100]:
            index.remove(each.uuid)
            index.put(each)
        changed = (process_time() - begin) / 100
        print(f"{count} abonnementen: put {built * 1e6:.1f} µs, remove and put again {changed * 1e6:.1f} µs")


def _abonnement(rng: random.Random, count: int) -> Abonnement:
    kenmerken = _kenmerken(rng, count)
    (names,) = rng.choices(SHAPES, OFTEN)
    group = FilterGroup("zaken", tuple((name, kenmerken[name]) for name in names))
    return Abonnement(uuid4(), "http://consumer/", "", (group,), "bench")


def _kenmerken(rng: random.Random, count: int) -> dict[str, str]:
    """As many values as there are abonnementen, so that few match, whatever their number."""
    return {
        "bronorganisatie": f"{rng.randrange(count):09}",
        "zaaktype": f"https://catalogi.example.nl/api/v1/zaaktypen/{rng.randrange(count)}",
        "vertrouwelijkheidaanduiding": rng.choice(LEVELS),
    }


def _each(
    find: Callable[[dict[str, str]], Collection[UUID]], messages: list[dict[str, str]], runs: int
) -> float:
    """µs for each, the median of so many runs."""
    taken = []
    for _ in range(runs):
        begin = process_time()
        for each in messages:
            find(each)
        taken.append((process_time() - begin) / len(messages) * 1e6)
    return statistics.median(taken)
