"""The S3 that tests read from: Swift in a process of its own, and what a test needs of it."""

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
    """A running Swift: where it is, and keys that open it."""

    endpoint: str
    """Such as ``http://127.0.0.1:40001``; the bucket is the first part of the path."""
    access_key: str = ACCESS_KEY
    secret_key: str = field(default=SECRET_KEY, repr=False)
    region: str = REGION

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Store an object, in a bucket that is made if need be, and return its s3:// href."""
        try:
            self.client.put_object(Bucket=bucket, Key=key, Body=body)
        except self.client.exceptions.NoSuchBucket:
            here = {"LocationConstraint": self.region}
            self.client.create_bucket(Bucket=bucket, CreateBucketConfiguration=here)
            self.client.put_object(Bucket=bucket, Key=key, Body=body)
        return f"s3://{bucket}/{key}"

    def environment(self) -> dict[str, str]:
        """Return the variables by which any S3 client finds this one."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
        }

    @cached_property
    def client(self) -> Any:
        """A boto3 client, for what a test wants done by somebody else's code."""
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
    """Run Swift while the block lasts; ``directory`` is its own and empty."""
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
