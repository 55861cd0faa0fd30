"""S3 on loopback that refuses every request, in the words of AWS."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Refusal:
    """An answer of S3: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""

    status: int
    code: str
    message: str
    more: str = ""  # further elements

    @property
    def body(self) -> bytes:
        """The answer's XML."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{self.message}</Message>{self.more}"
            "<RequestId>X1</RequestId><HostId>h=</HostId></Error>"
        ).encode()


DENIED = Refusal(403, "AccessDenied", "Access Denied")
# What AWS says if the caller is of the bucket's account.
DENIED_WITH_REASON = Refusal(
    403,
    "AccessDenied",
    "User: arn:aws:sts::123456789012:assumed-role/chiplake-job/x is not authorized to perform: s3:ListBucket on "
    'resource: "arn:aws:s3:::lake" because no identity-based policy allows the s3:ListBucket action',
)
SLOW_DOWN = Refusal(503, "SlowDown", "Please reduce your request rate.")
NO_SUCH_BUCKET = Refusal(404, "NoSuchBucket", "The specified bucket does not exist", "<BucketName>lake</BucketName>")
EXPIRED_TOKEN = Refusal(400, "ExpiredToken", "The provided token has expired.", "<Token-0>the-token</Token-0>")


@contextmanager
def refusing_s3(refusal: Refusal) -> Iterator[str]:
    """Yield the address of a server while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(refusal.status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(refusal.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(refusal.body)

        do_PUT = do_POST = do_HEAD = do_DELETE = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
