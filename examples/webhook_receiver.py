"""Takes the engine's webhooks, checks their signatures and prints them.

python examples/webhook_receiver.py SECRET [PORT]

SECRET is what GET /v1/webhook-secret answers. A message that came before has the same webhook-id.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = Webhook(sys.argv[1])
PORT = int(sys.argv[2]) if len(sys.argv) > 2 else 9009
seen: set[str] = set()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what the engine signed and 401 to anything else."""

    def do_POST(self) -> None:
        """Take one message."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            message = SECRET.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            print(f"refused: {error}", flush=True)
            self.send_response(401)
        else:
            name = self.headers["webhook-id"]
            print("again" if name in seen else "new", name, message["type"], message["data"], flush=True)
            seen.add(name)
            self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print messages only."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
