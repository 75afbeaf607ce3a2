"""An S3 server in this process, for tests: moto's, whose requests are told."""

from contextlib import contextmanager

import s3fs
from moto.server import DomainDispatcherApplication, ThreadedMotoServer

BUCKET = "scenes"


@contextmanager
def s3_server(monkeypatch):
    """Serve an empty bucket; yields a file system and the list of requests (method, path, Range) so far.

    The environment tells botocore where the server is, so ``s3://`` URLs need no options.
    """
    requests = []
    answer = DomainDispatcherApplication.__call__

    def counted(self, environ, start_response):
        told = (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("HTTP_RANGE"))
        requests.append(told)
        return answer(self, environ, start_response)

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", counted)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    fs.mkdir(BUCKET)
    requests.clear()
    try:
        yield fs, requests
    finally:
        # Buckets outlive the server: they are the process's.
        fs.rm(BUCKET, recursive=True)
        s3fs.S3FileSystem.clear_instance_cache()
        server.stop()
