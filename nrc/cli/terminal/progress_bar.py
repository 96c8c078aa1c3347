"""The progress bar of a command. Loaded only where one is shown."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text


def progress_bar(title: str, *, shown: bool) -> Progress:
    """A bar on standard error that is erased at the end."""
    return Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        console=Console(stderr=True),
        disable=not shown,
        transient=True,
        redirect_stdout=False,
    )


class _Rate(ProgressColumn):
    """Notificaties per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f}/s")
