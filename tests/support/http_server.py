"""A server whose answers are chosen: throttled, refused, cut off, ended."""

from __future__ import annotations

import http.server
import threading
import time
from typing import Any

import boto3

from dolambda.aws.account import Account

Answer = tuple[int, dict[str, Any], bytes] | None  # None: the connection is cut


class Server:
    """Answers each request with the next of ``answers``, the last one for ever; keeps what was
    sent.

    A header whose value is None is left out.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = [(200, {}, b"{}")]
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.delay = 0.0
        # Answers come when so many requests are here.
        self.together: threading.Barrier | None = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.path, dict(self.headers), body))
                time.sleep(outer.delay)
                try:
                    if outer.together:
                        outer.together.wait(30)
                except threading.BrokenBarrierError:
                    self.close_connection = True
                    return
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                self.send_response(status)
                usual: dict[str, Any] = {"Content-Length": str(len(content)), "ETag": '"tag"'}
                for name, value in (usual | headers).items():
                    if value is None:
                        continue
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_PUT = do_GET = do_HEAD = do_POST  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Quiet(http.server.ThreadingHTTPServer):
            request_queue_size = 200
            daemon_threads = True

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        if self.together:
            self.together.abort()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


def account(url: str, token: str | None = None) -> Account:
    session = boto3.Session(
        aws_access_key_id="AK",
        aws_secret_access_key="SK",  # noqa: S106 - no secret
        aws_session_token=token,
        region_name="us-east-1",
    )
    return Account(session, "us-east-1", url)
