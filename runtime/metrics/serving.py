"""The HTTP server of one process for Prometheus: /metrics, and /metrics/abonnementen with a line for each.

Loaded only where NRC_METRICS_LISTEN is set. What is served is collected at each request, by functions of the
caller; nothing is kept in between. Each process has an address: the library's multi-process mode is not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from runtime.health import small_server
from runtime.log import logger
from runtime.settings import Listen, env_name

PATH, DETAIL_PATH = "/metrics", "/metrics/abonnementen"

log = logger(__name__)

Collect = Callable[[], Awaitable[Callable[[], Sequence[Metric]]]]
"""Called in the event loop at each request, to copy what is counted; what it returns runs in a thread."""


class _Collected(Collector):
    """What was collected for one answer, in the form that the library writes."""

    def __init__(self, own: Iterable[Collector], metrics: Callable[[], Sequence[Metric]]) -> None:
        self._own = own
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Of the process first, then ours."""
        for each in self._own:
            yield from each.collect()
        yield from self._metrics()


@asynccontextmanager
async def serve_metrics(listen: Listen, *, metrics: Collect, detail: Collect) -> AsyncIterator[None]:
    """Answer on `listen` as long as the context is open. Raises UsageError when it can't listen there.

    metrics: what /metrics answers, beside memory, processor time, open files and garbage collection of this
    process. detail: what /metrics/abonnementen answers; it has series for each abonnement, so that it is
    scraped less often, or not at all.
    """
    registry = CollectorRegistry(auto_describe=False)
    of_process: list[Collector] = [
        ProcessCollector(registry=registry),
        PlatformCollector(registry=registry),
        GCCollector(registry=registry),
    ]

    async def overview(request: web.Request) -> web.Response:
        return await _answer(request, _Collected(of_process, await metrics()))

    async def of_each(request: web.Request) -> web.Response:
        return await _answer(request, _Collected((), await detail()))

    routes = (web.get(PATH, overview), web.get(DETAIL_PATH, of_each))
    async with small_server(listen, routes, name=env_name("metrics_listen")) as (host, port):
        log.info("metrics are served", url=f"http://{f'[{host}]' if ':' in host else host}:{port}{PATH}")
        yield


async def _answer(request: web.Request, collected: _Collected) -> web.Response:
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except (ValueError, TypeError):  # a version that is none
        encode, content_type = choose_encoder("")
    # Of 10,000 abonnementen it takes a second.
    text = await asyncio.to_thread(encode, collected)
    answer = web.Response(body=text, headers={"Content-Type": content_type})
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        answer.enable_compression(web.ContentCoding.gzip)
    return answer
