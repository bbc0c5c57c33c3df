"""Credentials inside configs: found by name, sealed before they are stored, masked when they are read back.

A credential is a non-empty string under a name that says so (``bearerToken``, ``password``, ``X-Api-Key``), or under
a field that the task type declares as a secret. A string with a template is none: its secret lies elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

MASK = "***"
_SEALED = "$encrypted"
_SENSITIVE = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|api_?key|access_key|private_key|secret_key|"
    r"authorization|credentials?|cookie)$"
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(maxsize=4096)
def sensitive(name: str) -> bool:
    """Whether a field of this name holds a credential, in any spelling."""
    return bool(_SENSITIVE.search(_HUMP.sub("_", name).replace("-", "_").lower()))


def holds_reserved_name(value: Any) -> bool:
    """Whether a client's JSON uses the name that marks sealed values."""
    if isinstance(value, dict):
        return _SEALED in value or any(holds_reserved_name(item) for item in value.values())
    return isinstance(value, list) and any(holds_reserved_name(item) for item in value)


def holds_mask(value: Any) -> bool:
    """Whether a credential reads ``***`` that nothing stands behind: it was sent back to where it did not come from."""
    if isinstance(value, dict):
        return any((item == MASK and sensitive(name)) or holds_mask(item) for name, item in value.items())
    return isinstance(value, list) and any(holds_mask(item) for item in value)


def seal(value: Any, declared: frozenset[str], encrypt: Callable[[str], str]) -> Any:
    """A copy in which every credential is ciphertext. ``declared`` are the type's own secret fields."""
    if isinstance(value, dict):
        return {
            name: {_SEALED: encrypt(item)}
            if isinstance(item, str) and item and "{{" not in item and (name in declared or sensitive(name))
            else seal(item, declared, encrypt)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [seal(item, declared, encrypt) for item in value]
    return value


def _replace(value: Any, fill: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(token := value.get(_SEALED), str):
            return fill(token)
        return {name: _replace(item, fill) for name, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, fill) for item in value]
    return value


def mask(value: Any) -> Any:
    """A copy with ``***`` for every sealed credential."""
    return _replace(value, lambda _: MASK)


def unseal(value: Any, decrypt: Callable[[str], str], seen: Callable[[str], None]) -> Any:
    """A copy with the credentials in clear; each is handed to ``seen``, so that it can be redacted later."""

    def fill(token: str) -> str:
        clear = decrypt(token)
        seen(clear)
        return clear

    return _replace(value, fill)


def keep_masked(new: Any, old: Any) -> Any:
    """``new`` with the sealed values of ``old`` where it says ``***``: what was read back may be sent again."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {
            name: old[name]
            if item == MASK and isinstance(old.get(name), dict) and _SEALED in old[name]
            else keep_masked(item, old.get(name))
            for name, item in new.items()
        }
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [keep_masked(a, b) for a, b in zip(new, old, strict=True)]
    return new
