"""Counters, gauges and histograms as the library has them, of numbers that are there already. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from runtime.metrics.histogram import Histogram

Values = Mapping[tuple[str, ...], float]
"""Numbers by the values of their labels."""


def counter(name: str, help_: str, values: Values | float, labels: Sequence[str] = ()) -> Metric:
    """What only rises while the process runs. name: without `_total`, which is put behind it."""
    family = CounterMetricFamily(name, help_, labels=labels)
    for of, value in _by_labels(values).items():
        family.add_metric(of, value)
    return family


def gauge(name: str, help_: str, values: Values | float, labels: Sequence[str] = ()) -> Metric:
    """What is so now."""
    family = GaugeMetricFamily(name, help_, labels=labels)
    for of, value in _by_labels(values).items():
        family.add_metric(of, value)
    return family


def histogram(name: str, help_: str, of: Histogram) -> Metric:
    """Observations by bucket."""
    buckets, count = [], 0
    for bound, number in zip((*of.bounds, inf), of.counts, strict=True):
        count += number
        buckets.append((_text(bound), float(count)))
    family = HistogramMetricFamily(name, help_)
    family.add_metric((), buckets, of.total)
    return family


def _text(bound: float) -> str:
    return "+Inf" if bound == inf else str(float(bound))


def _by_labels(values: Values | float) -> Values:
    return values if isinstance(values, Mapping) else {(): values}
