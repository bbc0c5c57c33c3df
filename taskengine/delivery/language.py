"""Speaks to a language model behind any OpenAI-compatible server (``POST <url>/chat/completions``).

The server is the operator's choice, made in the settings, so its address is not held to the rules for targets that
come from tasks: a model on the same machine is a usual case. A request ends with its time limit or when its caller
is told to stop, whatever phase it is in.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from taskengine.delivery.retry_after import retry_after_seconds
from taskengine.delivery.time_limit import TimeLimit, TimeLimitExceeded, time_limit
from taskengine.domain.errors import HandlerError, PermanentError, RateLimited, TransientError

MISSING = (
    "no language model is set up: TASKENGINE_LLM_URL and TASKENGINE_LLM_MODEL (and TASKENGINE_LLM_API_KEY, where the "
    "server wants a key) name an OpenAI-compatible server"
)
_RATE_LIMIT_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_CHARACTERS_PER_TOKEN = 4

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LanguageServer:
    """Where the model is. ``url`` is the base, such as ``https://api.openai.com/v1``; ``api_key`` None sends none."""

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; ``estimated`` where the server did not say."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False

    @property
    def total(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model said. ``cut_off`` when it reached ``max_tokens``."""

    text: str
    refusal: str | None
    cut_off: bool
    usage: Usage
    model: str


def estimate_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens these messages have, for when nobody has counted; images are not counted."""
    return sum(len(_words_of(message["content"])) for message in messages) // _CHARACTERS_PER_TOKEN


def user_message(text: str, images: Sequence[bytes] = ()) -> dict[str, Any]:
    """A message of the user; ``images`` are PNG files."""
    if not images:
        return {"role": "user", "content": text}
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    for image in images:
        data = base64.b64encode(image).decode()
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
    return {"role": "user", "content": parts}


def complete(
    server: LanguageServer,
    messages: Sequence[Message],
    *,
    response_format: Mapping[str, Any],
    max_tokens: int,
    seconds: float,
    stop: Callable[[], bool] = lambda: False,
) -> Completion:
    """One request; raises TransientError ``llm_unavailable``, RateLimited, or PermanentError ``llm_refused``.

    ``stop`` is asked every 0.1 s whether to give up: then TransientError ``interrupted``.
    """
    import openai  # noqa: PLC0415 - a third of a second, which processes that ask no model do not pay

    try:
        with time_limit(seconds) as limit, _stopping(limit, stop), _client(server, limit) as client:
            answer = client.chat.completions.create(
                model=server.model,
                messages=list(messages),
                response_format=dict(response_format),
                max_completion_tokens=max_tokens,
                temperature=0,
            )
    except (TimeLimitExceeded, openai.APITimeoutError):
        if stop():
            raise TransientError("interrupted", "told to stop while the language model was asked") from None
        raise TransientError(
            "llm_unavailable", f"the language model gave no complete answer within {seconds:.0f} s"
        ) from None
    except openai.APIStatusError as error:
        raise _status_error(error.status_code, error.response.headers, _reason(error.body)) from None
    except (openai.APIError, ValueError) as error:
        # Connection errors, and answers that are none: pages of a proxy, broken JSON.
        raise TransientError("llm_unavailable", f"the language server did not answer: {_cause(error)}") from None
    return _completion(answer, messages)


@contextlib.contextmanager
def _stopping(limit: TimeLimit, stop: Callable[[], bool]) -> Iterator[None]:
    """End the exchange when the caller is told to stop."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            if stop():
                limit.expire()
                return

    watcher = threading.Thread(target=look, name="language stop", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@contextlib.contextmanager
def _client(server: LanguageServer, limit: TimeLimit) -> Iterator[Any]:
    """A client for one exchange, whose connection ends with the limit. No proxies of the environment, no retries: a
    task's own retries are the ones that are recorded.
    """
    import openai  # noqa: PLC0415 - see complete

    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
        # They log addresses, and in detail whole prompts.
        logging.getLogger(name).setLevel(logging.ERROR)

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            sock = info["return_value"].get_extra_info("socket")
            if sock is not None:
                limit.watch(sock)

    def prepare(request: Any) -> None:
        request.extensions["trace"] = trace
        if server.api_key is None:
            del request.headers["Authorization"]

    http = openai.DefaultHttpxClient(trust_env=False, event_hooks={"request": [prepare]}, follow_redirects=False)
    with openai.OpenAI(
        api_key=server.api_key or "none",
        base_url=server.url,
        timeout=limit.remaining_seconds(),
        max_retries=0,
        http_client=http,
    ) as client:
        yield client


def _status_error(status: int, headers: Mapping[str, str], reason: str) -> HandlerError:
    details = {"status": status, "reason": reason}
    after = retry_after_seconds(headers.get("Retry-After"), datetime.now(UTC))
    if status == 429:
        wait = _RATE_LIMIT_SECONDS if after is None else after
        return RateLimited(wait, f"the language server asks to wait: {reason}", details)
    if status in (408, 409, 425) or status >= 500:
        text = f"the language server answered {status}: {reason}"
        return TransientError("llm_unavailable", text, details, retry_after_seconds=after)
    hint = {
        401: "check TASKENGINE_LLM_API_KEY",
        403: "check TASKENGINE_LLM_API_KEY",
        404: "check TASKENGINE_LLM_URL, which ends in /v1 with most servers, and TASKENGINE_LLM_MODEL",
    }.get(status, "the request does not suit this server or model")
    return PermanentError("llm_refused", f"the language server answered {status}: {reason}; {hint}", details)


def _completion(answer: Any, messages: Sequence[Message]) -> Completion:
    choices = getattr(answer, "choices", None)
    if not choices or choices[0].message is None:
        raise TransientError("llm_unavailable", "the language server's answer holds no choice")
    message = choices[0].message
    text = message.content if isinstance(message.content, str) else ""
    return Completion(
        text=text,
        refusal=message.refusal or None,
        cut_off=choices[0].finish_reason == "length",
        usage=_usage(answer.usage, messages, text),
        model=str(answer.model or ""),
    )


def _usage(said: Any, messages: Sequence[Message], text: str) -> Usage:
    prompt, completion = getattr(said, "prompt_tokens", None), getattr(said, "completion_tokens", None)
    if isinstance(prompt, int) and isinstance(completion, int) and prompt >= 0 and completion >= 0:
        return Usage(prompt, completion)
    return Usage(estimate_tokens(messages), len(text) // _CHARACTERS_PER_TOKEN, estimated=True)


def _words_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _reason(body: object) -> str:
    """The server's own words, cut short."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        body = inner.get("message", inner) if isinstance(inner, Mapping) else inner
    return str(body or "no reason given")[:500]


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error) or type(error).__name__)[:300]
