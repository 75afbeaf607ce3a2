"""A local HTTP server that honours Range, tells what it was asked for, and fails where it is told to."""

import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sent(list):
    """The range (start, stop) of each answer, (0, 0) for one without a body."""

    def __init__(self):
        self.lock = threading.Lock()
        self.now = self.most_at_once = 0

    def begin(self, start, stop):
        with self.lock:
            self.append((start, stop))
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)

    def end(self):
        with self.lock:
            self.now -= 1


@contextmanager
def http_server(data, *, ranges=True, suffixes=True, status=200, missing=0, delay=0.0):
    """Serve `data` at the yielded URL, and tell what was sent.

    Without `ranges` the whole is sent whatever is asked for, without `suffixes` ranges of the last bytes
    are refused. `status` is the answer to everything; `missing` bytes of a body are never sent; an
    answer takes `delay` seconds.
    """
    sent = Sent()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            sent.begin(0, 0)
            self.reply(status, b"", len(data))

        def do_GET(self):
            if status != 200:
                sent.begin(0, 0)
                self.reply(status, b"", 0)
                return
            start, stop, partial = self.span()
            sent.begin(start, stop)
            time.sleep(delay)
            if stop < start or (start == stop and partial) or (partial and start >= len(data)):
                self.reply(416, b"", 0)
            else:
                self.reply(206 if partial else 200, data[start:stop], stop - start)

        def span(self):
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            if not asked or not ranges:
                return 0, len(data), False
            if not asked[1]:
                last = int(asked[2]) if suffixes else 0
                return max(0, len(data) - last), len(data), True
            return int(asked[1]), min(int(asked[2] or len(data)) + 1, len(data)), True

        def reply(self, code, body, length):
            self.send_response(code)
            self.send_header("Content-Length", str(length))
            if ranges:
                self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            # Before the client can ask again, so that nothing finished counts as under way.
            sent.end()
            self.wfile.write(body[: len(body) - missing])
            self.close_connection = bool(missing)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/x.eoc", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
