"""Tokens for tests: valid ones, and ones with any fault."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Mapping
from typing import Any

from jwt.api_jws import PyJWS


def sign(payload: Mapping[str, Any], secret: str, *, headers: Any = None, algorithm: str = "HS256") -> str:
    """A JWT; any payload will do."""
    with warnings.catch_warnings():  # the library warns of the short secrets that municipalities have
        warnings.simplefilter("ignore")
        return PyJWS().encode(json.dumps(payload).encode(), secret, algorithm=algorithm, headers=headers)


def token(client: str = "beide", /, *, secret: str | None = None, headers: Any = None, **claims: Any) -> str:
    """An Authorization header; a claim given as None is left out. The secret: the client_id backwards."""
    payload = {"iss": client, "iat": int(time.time()), "client_id": client, **claims}
    payload = {name: value for name, value in payload.items() if value is not None}
    return "Bearer " + sign(payload, secret or client[::-1], headers=headers)
