"""Says what to install where a setting asks for PostgreSQL and its libraries are not there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from schemas.errors import UsageError


@contextmanager
def postgresql_needed() -> Generator[None, None, None]:
    """Around an import of what uses psycopg. Raises UsageError when that cannot be imported."""
    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"NRC_DATABASE_URL names PostgreSQL, and that needs more: pip install 'nrc[postgresql]' ({error})"
        ) from None
