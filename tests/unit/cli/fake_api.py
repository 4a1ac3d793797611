"""A native API on loopback that answers as a script says: also late, cut, or not at all."""

import base64
import json
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUEUE_ID = "abcdefghijklmnopqrstuvwxyz"


@dataclass
class Request:
    method: str
    path: str
    headers: dict
    body: bytes

    @property
    def fields(self):
        return json.loads(self.body)

    @property
    def content(self):
        return base64.b64decode(self.fields["content"])


def error(http, key, smtp, status, message="Refused", detail=""):
    """Give a script entry: an error of the API's form."""
    return http, {"error": {"key": key, "smtp": smtp, "status": status, "message": message, "detail": detail}}


class FakeApi:
    """
    Answers 202 unless `script` has an entry: (status, JSON or octets), octets as they are (then the connection closes),
    "hang", "cut" (half an answer) or "lost" (the request is taken, the connection closed).
    """

    def __init__(self):
        self.script = deque()
        self.requests = []
        self.uploads = {}
        self.health = {"status": "ok"}
        self.healths = 0
        self.base = "http://127.0.0.1"
        self.flushes = deque()  # answers to an operator's flushes; none: the credential is no operator's
        self.authorizations = None  # None: every one is good
        self.answers = {}
        self.released = threading.Event()
        self.waiting = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                api.handle(self, Request(self.command, self.path, dict(self.headers), body))

            do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815 (http.server finds methods by these names)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients that cut the connection are part of the tests
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return f"{self.base}:{self.server.server_port}"

    @property
    def submissions(self):
        return [request for request in self.requests if request.path == "/v1/messages"]

    def handle(self, handler, request):
        if request.path == "/v1/health":  # doors ask for it by themselves, now and then
            self.healths += 1
            self.answer(handler, 200, self.health)
            return
        self.requests.append(request)
        if request.path.startswith("/put/"):
            self.uploads[request.path.removeprefix("/put/")] = request.body
            self.answer(handler, 200, b"")
        elif self.authorizations is not None and request.headers.get("Authorization") not in self.authorizations:
            self.answer(handler, *error(403, "auth_invalid", 535, "5.7.8", "Authentication credentials invalid"))
        elif request.path == "/v1/credentials/self" and not self.script:
            self.answer(handler, 200, {"access_key": "AKIA"})
        elif request.path.endswith("/flush"):
            denied = error(403, "access_denied", 550, "5.7.1", "Not allowed")
            self.answer(handler, *(self.flushes.popleft() if self.flushes else denied))
        elif request.path == "/v1/uploads" and not self.script:
            upload_id = f"up{len(self.uploads)}"
            ticket = {"upload_id": upload_id, "url": f"{self.url}/put/{upload_id}", "method": "PUT"}
            self.answer(handler, 201, {**ticket, "headers": {"X-Ticket": "t"}})
        elif request.method == "GET" and request.path in self.answers:
            self.answer(handler, 200, self.answers[request.path])
        else:
            self.act(handler, self.script.popleft() if self.script else (202, {"queue_id": QUEUE_ID, "recipients": 1}))

    def act(self, handler, action):
        if action == "hang":
            self.waiting.set()
            self.released.wait(30)
            action = (202, {"queue_id": QUEUE_ID, "recipients": 1})
        if action == "lost":
            handler.close_connection = True
        elif action == "cut" or isinstance(action, bytes):
            cut = b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n{"
            handler.wfile.write(cut if action == "cut" else action)
            handler.close_connection = True
        else:
            self.answer(handler, *action)

    @staticmethod
    def answer(handler, status, body):
        octets = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(octets)))
            handler.end_headers()
            handler.wfile.write(octets)
        except OSError:
            handler.close_connection = True
