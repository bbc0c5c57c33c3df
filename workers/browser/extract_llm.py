"""Instructions that matching is not sure of, put to a language model: it is asked where things are, not what they are."""

from __future__ import annotations

from workers.browser.extract_config import ExtractConfig
from workers.browser.extract_document import Document
from workers.browser.extract_words import Plan
from workers.browser.session import Session


def resolve_by_model(session: Session, document: Document, config: ExtractConfig) -> Plan:
    raise NotImplementedError
