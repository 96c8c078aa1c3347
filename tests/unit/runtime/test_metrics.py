"""The histogram that hot paths observe, what is made of numbers for Prometheus, and the server for it."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from nrc.metrics_addresses import metrics_address
from runtime.listening import bind
from runtime.metrics.histogram import Histogram
from runtime.metrics.serving import serve_metrics
from schemas.errors import UsageError
from telemetry.metrics.families import counter, gauge, histogram


def test_a_bound_belongs_to_its_bucket_and_nothing_is_lost_above_the_last() -> None:
    observed = Histogram((0.5, 1.0))
    for value in (0.0, 0.5, 0.500001, 1.0, 1.5, 100.0):
        observed.observe(value)
    assert observed.counts == [2, 2, 2]
    assert observed.total == pytest.approx(103.500001)


def some_metrics() -> Sequence[Metric]:
    observed = Histogram((0.5, 1.0))
    for value in (0.1, 0.7, 0.8, 5.0):
        observed.observe(value)
    return [
        counter("nrc_a", "Counted.", {("x",): 3, ('"\\\n',): 0}, ["of"]),
        gauge("nrc_b", "Now.", 2.5),
        histogram("nrc_c", "Observed.", observed),
    ]


@pytest.fixture
async def root() -> AsyncIterator[str]:
    """The root of a server of these metrics; its detail fails."""

    async def metrics() -> Callable[[], Sequence[Metric]]:
        return some_metrics

    async def fails() -> Callable[[], Sequence[Metric]]:
        raise RuntimeError("on purpose")

    with bind(("127.0.0.1", 0), name="a free port") as sock:
        port: int = sock.getsockname()[1]
    async with serve_metrics(("127.0.0.1", port), metrics=metrics, detail=fails):
        yield f"http://127.0.0.1:{port}"


async def fetched(url: str, **headers: str) -> tuple[int, str, bytes]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(url, headers={"Accept-Encoding": "identity", **headers}) as answer,
    ):
        return answer.status, answer.headers.get("Content-Type", ""), await answer.read()


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("", plain_text),
        ("text/plain;version=0.0.4", plain_text),
        ("text/plain;version=nonsense", plain_text),
        ("application/openmetrics-text;version=1.0.0", open_metrics),
    ],
)
async def test_prometheus_reads_it_in_either_form(root: str, accept: str, parse: object) -> None:
    status, content_type, body = await fetched(f"{root}/metrics", Accept=accept)
    assert status == 200
    assert ("openmetrics" in content_type) == (parse is open_metrics)
    assert callable(parse)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }
    assert samples["nrc_a_total", "x"] == 3
    assert samples["nrc_a_total", '"\\\n'] == 0
    assert samples["nrc_b",] == 2.5
    assert [samples["nrc_c_bucket", le] for le in ("0.5", "1.0", "+Inf")] == [1, 3, 4]
    assert samples["nrc_c_sum",] == pytest.approx(6.6)
    assert samples["nrc_c_count",] == 4
    assert samples["process_open_fds",] > 0


async def test_it_is_compressed_for_who_asks(root: str) -> None:
    _, _, body = await fetched(f"{root}/metrics", **{"Accept-Encoding": "gzip"})
    assert b"nrc_b 2.5" in gzip.decompress(body)


async def test_what_fails_is_an_answer_without_a_trace(root: str) -> None:
    status, _, body = await fetched(f"{root}/metrics/abonnementen")
    assert (status, body) == (500, b'{"status": "error"}')
    assert (await fetched(f"{root}/elsewhere"))[0] == 404


async def test_an_address_that_is_taken_is_told_with_the_setting(root: str) -> None:
    async def nothing() -> Callable[[], Sequence[Metric]]:
        return list

    port = int(root.rpartition(":")[2])
    with pytest.raises(UsageError, match=r"NRC_METRICS_LISTEN: .*Address already in use"):
        async with serve_metrics(("127.0.0.1", port), metrics=nothing, detail=nothing):
            pass


@pytest.mark.parametrize(
    ("process", "number", "address"),
    [
        ("router", 1, "127.0.0.1:9464"),
        ("ledger", 1, "127.0.0.1:9465"),
        ("gateway", 1, "127.0.0.1:9466"),
        ("deliverer", 1, "127.0.0.1:9467"),
        ("gateway", 64, "127.0.0.1:9592"),
        ("deliverer", 64, "127.0.0.1:9593"),
        ("console", 1, "127.0.0.1:9463"),
        ("inbox", 1, "127.0.0.1:9462"),
        ("alerts", 1, "127.0.0.1:9461"),
    ],
)
def test_each_process_of_nrc_up_keeps_its_port(process: str, number: int, address: str) -> None:
    assert metrics_address(("127.0.0.1", 9464), process, number) == address


def test_no_two_processes_of_nrc_up_have_one_port() -> None:
    numbers = range(1, 65)
    ports = [
        metrics_address(("::1", 9464), each, number)
        for each in ("gateway", "deliverer")
        for number in numbers
    ]
    single = ("router", "ledger", "console", "inbox", "alerts")
    ports += [metrics_address(("::1", 9464), each, 1) for each in single]
    assert len(set(ports)) == len(ports)
    assert all(port.startswith("[::1]:") for port in ports)


def test_no_metrics_any_port_and_no_port_left() -> None:
    assert metrics_address(None, "router", 1) == ""
    assert metrics_address(("127.0.0.1", 0), "deliverer", 3) == "127.0.0.1:0"
    assert metrics_address(("127.0.0.1", 65534), "ledger", 1) == "127.0.0.1:65535"
    with pytest.raises(
        UsageError, match="NRC_METRICS_LISTEN: port 65534 is too high: gateway 1 would have 65536"
    ):
        metrics_address(("127.0.0.1", 65534), "gateway", 1)
    for first, would in ((1, 0), (0, 0)):
        if first:
            with pytest.raises(UsageError, match=f"port {first} is too low: console 1 would have {would}"):
                metrics_address(("127.0.0.1", first), "console", 1)
        else:
            assert metrics_address(("127.0.0.1", first), "console", 1) == "127.0.0.1:0"


def test_nothing_of_it_is_loaded_when_it_is_off() -> None:
    code = "import sys; import nrc.processes, gateway.service, deliverer.service, ledger.keeper.service; "
    code += "print([each for each in sys.modules if each.startswith('prometheus_client')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
