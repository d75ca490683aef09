"""The S3 of the tests: Swift in a separate process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCESS_KEY = "test:tester"
SECRET_KEY = "testing"
REGION = "eu-central-1"


@dataclass(frozen=True)
class Swift:
    """A running Swift with its endpoint and keys."""

    endpoint: str
    """Such as ``http://127.0.0.1:40001``, with path-style buckets."""
    access_key: str = ACCESS_KEY
    secret_key: str = field(default=SECRET_KEY, repr=False)
    region: str = REGION

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Store an object, creating the bucket if needed, and return its ``s3://`` href."""
        try:
            self.client.put_object(Bucket=bucket, Key=key, Body=body)
        except self.client.exceptions.NoSuchBucket:
            here = {"LocationConstraint": self.region}
            self.client.create_bucket(Bucket=bucket, CreateBucketConfiguration=here)
            self.client.put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point S3 clients to this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }

    @cached_property
    def client(self) -> Any:
        """A boto3 client, independent of the package."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                signature_version="s3v4",
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )


@contextmanager
def running_swift(directory: Path) -> Iterator[Swift]:
    """Run Swift in the context; ``directory`` must be empty."""
    program = Path(__file__).with_name("swift_server.py")
    log = directory.with_suffix(".log")
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, program, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            assert port, f"Swift did not start:\n{log.read_text()}"
            yield Swift(f"http://127.0.0.1:{int(port)}")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
