"""OpenStack Swift as an S3 that verifies signatures, with all its servers in one process.

``python swift_server.py DIRECTORY`` prints its port on 127.0.0.1 once S3 is available, and exits
when its standard input is closed, so it stops with its parent process.
Objects are kept in memory; the configuration files are written to DIRECTORY.

It verifies SigV4 in headers and query strings, and expiry. Of session tokens it verifies only that
they are signed; it does not verify the region.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eventlet.hubs
import eventlet.wsgi
from swift.common.ring import RingBuilder
from swift.common.storage_policy import reload_storage_policies
from swift.common.utils import set_swift_dir
from swift.common.wsgi import SwiftHttpProtocol, loadapp

from object_store import ACCESS_KEY, REGION, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    App = Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]

SWIFT = """
[swift-hash]
swift_hash_path_suffix = tests
[storage-policy:0]
name = memory
default = yes
"""

DEFAULTS = """
[DEFAULT]
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
log_level = ERROR
"""

BACKEND = """
[pipeline:main]
pipeline = server
[app:server]
use = egg:swift#{program}
"""

PROXY = f"""
[pipeline:main]
pipeline = catch_errors gatekeeper s3api tempauth bulk copy dlo slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:s3api]
use = egg:swift#s3api
location = {REGION}
s3_acl = false
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_{ACCESS_KEY.replace(":", "_")} = {SECRET_KEY} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:dlo]
use = egg:swift#dlo
[filter:slo]
use = egg:swift#slo
"""

PROGRAMS = {"account": "account", "container": "container", "object": "mem_object"}

ACCESS_DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)


def serve(directory: Path) -> None:
    """Serve S3 from ``directory`` until standard input is closed."""
    # Bind the sockets first, to reserve the ports.
    sockets = {name: eventlet.listen(("127.0.0.1", 0)) for name in (*PROGRAMS, "proxy")}
    ports = {name: socket.getsockname()[1] for name, socket in sockets.items()}
    (directory / "devices" / "memory" / "tmp").mkdir(parents=True)  # creates DIRECTORY as well
    (directory / "swift.conf").write_text(SWIFT)
    set_swift_dir(str(directory))
    reload_storage_policies()
    for name, program in PROGRAMS.items():
        write_ring(directory / f"{name}.ring.gz", ports[name])
        write_conf(directory / f"{name}.conf", BACKEND.format(program=program))
    write_conf(directory / "proxy.conf", PROXY)
    for name, socket in sockets.items():
        app = loadapp(str(directory / f"{name}.conf"))
        eventlet.spawn_n(
            eventlet.wsgi.server,
            socket,
            deny_unsigned(app) if name == "proxy" else app,
            logging.getLogger("requests"),
            protocol=SwiftHttpProtocol,
            log_output=False,
        )
    sys.stdout.write(f"{ports['proxy']}\n")
    sys.stdout.flush()
    eventlet.hubs.trampoline(sys.stdin, read=True)  # stdin becomes readable when it closes


def write_ring(path: Path, port: int) -> None:
    """Write the ring of one server: every partition on the one device at ``port``."""
    device = {
        "id": 0,
        "region": 1,
        "zone": 1,
        "weight": 1.0,
        "ip": "127.0.0.1",
        "port": port,
        "device": "memory",
        "meta": "",
    }
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    builder.add_dev(device)
    builder.rebalance()
    builder.get_ring().save(str(path))


def write_conf(path: Path, text: str) -> None:
    """Write one server's configuration."""
    path.write_text(DEFAULTS.format(directory=path.parent) + text)


def deny_unsigned(app: App) -> App:
    """Answer 403 to a request without an S3 signature, as AWS does.

    Swift would treat it as a request to its own API.
    """

    def s3_only(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        signed = environ.get("HTTP_AUTHORIZATION", "").startswith(
            "AWS4-HMAC-SHA256 "
        ) or "X-Amz-Signature=" in environ.get("QUERY_STRING", "")
        if signed:
            return app(environ, start_response)
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(ACCESS_DENIED)))]
        start_response("403 Forbidden", headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else ACCESS_DENIED]

    return s3_only


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
