"""Credentials inside configs: found by name, sealed before they are stored, masked when they are read back.

A credential is a non-empty string under a name that says so (``bearerToken``, ``password``, ``X-Api-Key``), at any
depth below one (``tokens``, ``credentials: {…}``), or under a field that the task type declares as a secret. So is a
whole URL that carries one: ``https://user:password@host``, ``?api_key=…``. A template is none: its secret lies
elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, unquote_plus

MASK = "***"
_SEALED = "$encrypted"
# More of a name than the longest word below needs; clients choose names, and those that are cached must stay short.
_TELLING = 60
_TELLING_PART = 8
_SENSITIVE = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|api_?key|access_key|private_key|secret_key|"
    r"authorization|credential|cookie)s?$"
)
# In a query these are credentials; as names of fields they would hit too much else.
_SENSITIVE_PARAMETER = re.compile(r"(^|_)(key|sig|signature|pwd|pass|auth|jwt)$")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://(?:(?P<userinfo>[^/?#]*)@)?[^?#]*(?P<rest>.*)", re.DOTALL)


def _words(name: str) -> str:
    return _HUMP.sub("_", name).replace("-", "_").lower()


def sensitive(name: str) -> bool:
    """Whether a field of this name holds a credential, in any spelling. The end of a name decides."""
    return _sensitive(name[-_TELLING:])


@lru_cache(maxsize=4096)
def _sensitive(name: str) -> bool:
    return bool(_SENSITIVE.search(_words(name)))


def _in_url(text: str) -> Iterator[str]:
    """The credentials that a URL carries, as they stand in it; nothing for other texts."""
    if "://" not in text or (url := _URL.match(text)) is None:
        return
    user, _, password = (url["userinfo"] or "").partition(":")
    # A user alone is a credential as well: many services take a token there.
    yield from _literal(password or user)
    for pair in re.split("[?#&;]", url["rest"]):
        name, _, value = pair.partition("=")
        plain = unquote_plus(name)
        if sensitive(plain) or _SENSITIVE_PARAMETER.search(_words(plain)):
            yield from _literal(value)


def _literal(value: str) -> Iterator[str]:
    if value and "{{" not in value:
        yield value


def _is_credential(text: str, below: bool) -> bool:
    if below and text and "{{" not in text:
        return True
    return next(_in_url(text), None) is not None


def _is_made_of(text: str, known: Collection[str]) -> bool:
    """Whether a text is a known credential, or holds one, as ``Bearer …`` does; short ones stand in many by chance."""
    return text in known or any(len(credential) >= _TELLING_PART and credential in text for credential in known)


def holds_reserved_name(value: Any) -> bool:
    """Whether a client's JSON uses the name that marks sealed values."""
    if isinstance(value, dict):
        return _SEALED in value or any(holds_reserved_name(item) for item in value.values())
    return isinstance(value, list) and any(holds_reserved_name(item) for item in value)


def holds_mask(value: Any, *, below: bool = False) -> bool:
    """Whether a credential reads ``***`` that nothing stands behind: it was sent back to where it did not come from.

    ``below``: the value stands below the name of a credential.
    """
    if isinstance(value, dict):
        return any(holds_mask(item, below=below or sensitive(name)) for name, item in value.items())
    if isinstance(value, list):
        return any(holds_mask(item, below=below) for item in value)
    return below and value == MASK


def seal(
    value: Any,
    declared: frozenset[str],
    encrypt: Callable[[str], str],
    *,
    below: bool = False,
    known: Collection[str] = (),
) -> Any:
    """A copy in which every credential is ciphertext. ``declared`` are the type's own secret fields.

    ``below``: the value stands below the name of a credential. ``known`` are texts that are credentials anywhere, also
    within others.
    """
    if isinstance(value, dict):
        return {
            name: seal(item, declared, encrypt, below=below or name in declared or sensitive(name), known=known)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [seal(item, declared, encrypt, below=below, known=known) for item in value]
    if isinstance(value, str) and (_is_credential(value, below) or _is_made_of(value, known)):
        return {_SEALED: encrypt(value)}
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
    """A copy with the credentials in clear; each is handed to ``seen``, so that it can be redacted later.

    Of a URL also what it carries, as it stands there and decoded: a log may show that without the rest.
    """

    def fill(token: str) -> str:
        clear = decrypt(token)
        for part in (clear, *_in_url(clear)):
            seen(part)
            if part is not clear and (decoded := unquote(part)) != part:
                seen(decoded)
        return clear

    return _replace(value, fill)


def keep_masked(new: Any, old: Any) -> Any:
    """``new`` with the sealed values of ``old`` where it says ``***``: what was read back may be sent again."""
    if isinstance(new, dict) and isinstance(old, dict):
        return {name: keep_masked(item, old.get(name)) for name, item in new.items()}
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [keep_masked(a, b) for a, b in zip(new, old, strict=True)]
    return old if new == MASK and isinstance(old, dict) and _SEALED in old else new
