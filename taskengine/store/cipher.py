"""Encryption at rest: Fernet (AES-128-CBC with HMAC-SHA256) under the installation's key."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken

from taskengine.domain.errors import WrongKey


def new_key() -> str:
    """A fresh key, as text."""
    return Fernet.generate_key().decode()


class Cipher:
    """Encrypts and decrypts short texts. ValueError if the key is no Fernet key."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key)

    def encrypt(self, text: str) -> str:
        """Ciphertext, URL-safe base64."""
        return self._fernet.encrypt(text.encode("utf-8", "surrogatepass")).decode()

    def decrypt(self, token: str) -> str:
        """The text; WrongKey if the token does not fit."""
        try:
            return self._fernet.decrypt(token).decode("utf-8", "surrogatepass")
        except InvalidToken:
            raise WrongKey(
                "a stored secret cannot be decrypted: TASKENGINE_ENCRYPTION_KEY is not the key it was stored with"
            ) from None
