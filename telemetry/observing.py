"""How a process is observed: what its `serve` takes for that. Loads nothing unless a setting asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from runtime.settings import Settings, env_name
from schemas.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from gateway.app import Mount

Observe = Callable[[Any], AbstractAsyncContextManager[object]]
"""Takes the parts of a process, as its `serve` gives them."""

TRACED = frozenset({"gateway", "deliverer"})
LAST_SPANS = 1.0  # seconds, at most, for what is to be sent still when a process ends


class Observing:
    """Metrics and traces of one process, as the settings ask for them. Raises UsageError.

    provider: what makes its spans, in place of the one that sends them on; for tests.
    """

    def __init__(self, process: str, settings: Settings, *, provider: TracerProvider | None = None) -> None:
        self._process = process
        self._listen = settings.metrics_listen
        self._provider = provider
        if provider is None and settings.traces != "off" and process in TRACED:
            self._provider = _provider_of(process)

    @property
    def mounts(self) -> Sequence[Mount]:
        """What a gateway's application gets for it."""
        if self._provider is None:
            return ()
        from telemetry.traces.gateway import mount_of
        from telemetry.traces.providing import tracer_of

        return (mount_of(tracer_of(self._provider)),)

    @property
    def of_deliverer(self) -> dict[str, Any]:
        """What a deliverer's `serve` takes for it."""
        if self._provider is None:
            return {}
        from telemetry.traces.deliverer import TracedDeliverer
        from telemetry.traces.providing import tracer_of

        return {"deliverer_of": partial(TracedDeliverer, tracer_of(self._provider))}

    @property
    def observe(self) -> Observe:
        """What every `serve` takes; opened around the work of the process."""
        return nullcontext if self._listen is None and self._provider is None else self._observe

    @asynccontextmanager
    async def _observe(self, parts: Any) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            if self._provider is not None:
                from telemetry.traces.providing import sent_at_the_end, tracer_of

                await opened.enter_async_context(sent_at_the_end(self._provider, within=LAST_SPANS))
                if self._process == "gateway":
                    from telemetry.traces.gateway import TracedAccepting

                    parts.accepting = TracedAccepting(parts, tracer_of(self._provider))
            if self._listen is not None:
                from telemetry.metrics.of_processes import serve_metrics_of

                await opened.enter_async_context(serve_metrics_of(self._process, self._listen, parts))
            yield


def _provider_of(process: str) -> TracerProvider:
    try:
        from telemetry.traces.providing import provider_of
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{env_name('traces')}: {error.name} is not installed: pip install 'nrc[opentelemetry]'"
        ) from None
    return provider_of(process)
