"""A new password of a consumer's RabbitMQ user, and the hash that RabbitMQ and the registry keep of it. Pure.

The password is random and long, so a fast hash keeps it as well as a slow one would. With the hash a user
whom RabbitMQ lost is made again with the password that its consumer has.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

ALGORITHM = "rabbit_password_hashing_sha256"
_SALT = 4  # bytes, as RabbitMQ has it


def new_password() -> str:
    """A password of 256 bits (nearly), without characters that a URL would need quoted."""
    # rabbitmqctl would take one with a hyphen in front for an option.
    while (made := secrets.token_urlsafe(32)).startswith("-"):
        continue
    return made


def fits(password: str, hashed: str) -> bool:
    """Whether this is the password of that hash; no password fits what is no hash, and "" none."""
    try:
        salt = base64.b64decode(hashed, validate=True)[:_SALT]
    except ValueError:
        return False
    return bool(password) and hmac.compare_digest(hash_of(password, salt=salt).encode(), hashed.encode())


def hash_of(password: str, *, salt: bytes | None = None) -> str:
    """The hash as RabbitMQ keeps it (ALGORITHM): base64 of the salt and SHA-256 of salt and password."""
    salt = secrets.token_bytes(_SALT) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
