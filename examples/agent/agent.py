"""A small agent: leases tasks over HTTP, does them, gives back what came of it. Python alone, nothing of the engine.

    python examples/agent/agent.py --url http://127.0.0.1:8000

It can count words (tasks of the type ``custom`` with the capability ``word_count``) and review code by a few plain
rules (tasks of the type ``code_review``). The key comes from TASKENGINE_API_KEY, or from .taskengine/api-key.

What every agent does, whatever it can do:
1. register, each time it starts
2. ask for leases, and let the server hold the request until there is something to do
3. while at it, extend each lease well before it runs out, and stop work on what was cancelled
4. complete or fail each lease; one that is over (409) is somebody else's by now
5. say that it lives; when told to end, take nothing more, end what it is at, and sign off
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

WAIT_SECONDS = 30
GRACE_SECONDS = 20


class Refused(Exception):
    """The server answered with an error; ``code`` is the problem document's."""

    def __init__(self, status, problem):
        super().__init__(problem.get("detail", f"HTTP {status}"))
        self.status, self.code = status, problem.get("code")


class CannotDo(Exception):
    """The task cannot be done, now or ever."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Ended(Exception):
    """The agent was told to end."""


class Api:
    """Requests with the key; tries again while the server is away."""

    def __init__(self, url, key):
        self.url, self.key = url.rstrip("/"), key

    def call(self, method, path, body=None, seconds=30, tries=5, once=False):
        """The answer's JSON. Raises Refused, or OSError once it has tried long enough.

        ``once``: where the answer is lost and it is tried again, the server gives the first answer again.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        if once:
            headers["Idempotency-Key"] = str(uuid.uuid4())
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        for attempt in range(1, tries + 1):
            try:
                with urllib.request.urlopen(request, timeout=seconds) as answer:
                    content = answer.read()
                    return json.loads(content) if content else None
            except urllib.error.HTTPError as error:
                with error:
                    problem = _json(error.read())
                if error.code < 500 or attempt == tries:
                    raise Refused(error.code, problem) from None
            except OSError:
                if attempt == tries:
                    raise
            time.sleep(min(0.2 * 2**attempt, 5))
        raise AssertionError("the last try returns or raises")


def _json(content):
    try:
        return json.loads(content)
    except ValueError:
        return {}


# What it can do: a function for each capability, given the lease and an event that says when to stop


def word_count(lease, stop):
    """Counts the words of ``payload.text``, after ``payload.pause_seconds`` if it is to look busy."""
    payload = lease["config"]["payload"] or {}
    text = payload.get("text")
    if not isinstance(text, str):
        raise CannotDo("no_text", "payload.text should be a text")
    stop.wait(payload.get("pause_seconds", 0))
    words = re.findall(r"\w+", text)
    return {"words": len(words), "longest": max(words, key=len, default=None)}


RULES = (
    (re.compile(r"\beval\(|\bexec\("), "error", "eval and exec run whatever they are given"),
    (re.compile(r"\bexcept\s*:"), "warning", "a bare except hides every fault, Ctrl-C too"),
    (re.compile(r"(?i)(password|secret|token)\s*=\s*[\"'][^\"']+[\"']"), "error", "a credential stands in the code"),
    (re.compile(r"\b(TODO|FIXME)\b"), "info", "something is left to do"),
    (re.compile(r".{121}"), "info", "the line is longer than 120 characters"),
)


def code_review(lease, _stop):
    """Holds each line of the files, and each added line of the diff, to RULES."""
    config = lease["config"]
    if not config["files"] and not config["diff"]:
        raise CannotDo("nothing_to_review", "this agent clones nothing: send files or a diff")
    comments = []
    for file in config["files"]:
        comments += remarks(file["path"], enumerate(file["content"].splitlines(), 1))
    for path, lines in added_lines(config["diff"] or "").items():
        comments += remarks(path, lines)
    grave = any(comment["severity"] == "error" for comment in comments)
    verdict = "request_changes" if grave else "comment" if comments else "approve"
    return {"comments": comments, "summary": f"{len(comments)} remark(s) by {len(RULES)} rules.", "verdict": verdict}


def remarks(path, lines):
    """What the rules find in numbered lines."""
    return [
        {"file": path, "line": number, "severity": severity, "text": text}
        for number, line in lines
        for pattern, severity, text in RULES
        if pattern.search(line)
    ]


def added_lines(diff):
    """The added lines of a unified diff, by file, with their numbers in the new version."""
    found, path, number = {}, None, 0
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line[4:].split("\t")[0].removeprefix("b/")
        elif match := re.match(r"@@ -\S+ \+(\d+)", line):
            number = int(match[1])
        elif path and line.startswith("+"):
            found.setdefault(path, []).append((number, line[1:]))
            number += 1
        elif not line.startswith("-"):
            number += 1
    return found


ABILITIES = {"word_count": word_count, "code_review": code_review}


class Agent:
    """Registers, keeps leases, and runs each in a thread of its own."""

    def __init__(self, api, agent_id, most, lease_seconds):
        self.api, self.id, self.most, self.lease_seconds = api, agent_id, most, lease_seconds
        self.held = {}
        """Open leases: lease id → the event that tells its work to stop."""
        self.changed = threading.Condition()
        self.ended = threading.Event()

    def run(self):
        """Until it is told to end."""
        body = {"id": self.id, "type": "example", "capabilities": sorted(ABILITIES), "max_concurrent": self.most}
        self.api.call("POST", "/v1/agents", body)
        say(f"{self.id} is registered for {', '.join(sorted(ABILITIES))}")
        keeper = threading.Thread(target=self.keep, daemon=True)
        keeper.start()
        try:
            while True:
                with self.changed:
                    self.changed.wait_for(lambda: len(self.held) < self.most)
                    free = self.most - len(self.held)
                self.take(free)
        except Ended:
            self.end()
        self.ended.set()

    def take(self, free):
        """Lease what there is, and begin it."""
        body = {"wait": WAIT_SECONDS, "max": free, "lease_seconds": self.lease_seconds}
        try:
            answer = self.api.call("POST", f"/v1/agents/{self.id}/lease", body, seconds=WAIT_SECONDS + 15)
        except (Refused, OSError) as error:
            say(f"no lease: {error}")
            time.sleep(2)
            return
        for lease in answer["leases"]:
            stop = threading.Event()
            with self.changed:
                self.held[lease["id"]] = stop
            threading.Thread(target=self.work, args=(lease, stop), daemon=True).start()
        time.sleep(answer["retry_after_seconds"])

    def work(self, lease, stop):
        """Do a task, and say how it went."""
        say(f"begins {lease['name']} (attempt {lease['attempt']})")
        path, verb = f"/v1/leases/{lease['id']}", "complete"
        try:
            body = {"result": ABILITIES[lease["capability"]](lease, stop)}
            if stop.is_set():
                verb, body = "fail", {"code": "stopped", "message": "told to stop"}
        except CannotDo as error:
            verb, body = "fail", {"code": error.code, "message": str(error), "retry": False}
        except Exception as error:
            verb, body = "fail", {"code": "exception", "message": f"{type(error).__name__}: {error}"}
        try:
            ended = self.api.call("POST", f"{path}/{verb}", body, once=True)
            say(f"{verb}s {lease['name']}: the task is {ended['task_status']}")
        except (Refused, OSError) as error:
            say(f"{lease['name']}: {error}")
        with self.changed:
            self.held.pop(lease["id"], None)
            self.changed.notify_all()

    def keep(self):
        """Extend what is held; the first request of a round says that the agent lives, even if it holds nothing."""
        while not self.ended.wait(self.lease_seconds / 4):
            with self.changed:
                held = dict(self.held)
            try:
                self.api.call("POST", f"/v1/agents/{self.id}/heartbeat", tries=1)
            except (Refused, OSError) as error:
                say(f"heartbeat: {error}")
            for lease_id, stop in held.items():
                self.extend(lease_id, stop)

    def extend(self, lease_id, stop):
        """Hold a lease longer; stop its work where that is over, or was cancelled."""
        try:
            path = f"/v1/leases/{lease_id}/extend"
            answer = self.api.call("POST", path, {"lease_seconds": self.lease_seconds}, tries=1)
        except Refused as error:
            if error.status in (404, 409):
                stop.set()
        except OSError as error:
            # There is time for another round before the lease runs out.
            say(f"extend: {error}")
        else:
            if answer["cancelled"]:
                stop.set()

    def end(self):
        """Let what is under way end, for a while; what is left goes to others with the agent's signing off."""
        with self.changed:
            say(f"ends; {len(self.held)} under way")
            self.changed.wait_for(lambda: not self.held, timeout=GRACE_SECONDS)
        self.api.call("DELETE", f"/v1/agents/{self.id}")
        say("signed off")


def say(text):
    """A line for whoever watches."""
    print(text, flush=True)


def key_of(given):
    """The API key from the command line, the environment, or what `taskengine up` left."""
    key = given or os.environ.get("TASKENGINE_API_KEY")
    kept = Path(".taskengine/api-key")
    if not key and kept.exists():
        key = kept.read_text().strip()
    if not key:
        sys.exit("no API key: set TASKENGINE_API_KEY, or start where `taskengine up` runs")
    return key


def told_to_end(_number, _frame):
    """Leaves whatever the main thread waits for."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Ended


def main():
    parser = argparse.ArgumentParser(description="An agent that counts words and reviews code by plain rules.")
    parser.add_argument("--url", default=os.environ.get("TASKENGINE_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--api-key")
    parser.add_argument("--id", default=f"example-{os.getpid()}")
    parser.add_argument("--max", type=int, default=2, help="tasks at a time")
    parser.add_argument("--lease-seconds", type=float, default=20, help="a task of an agent that dies is free so soon")
    given = parser.parse_args()
    agent = Agent(Api(given.url, key_of(given.api_key)), given.id, given.max, given.lease_seconds)
    signal.signal(signal.SIGTERM, told_to_end)
    signal.signal(signal.SIGINT, told_to_end)
    agent.run()


if __name__ == "__main__":
    main()
