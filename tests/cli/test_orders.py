"""Orders, areas and products on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from constellr_stac.orders import OrdersClient
from constellr_stac.sandbox import Fault, Sandbox
from shell import as_seen, constellr, converse, in_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

FIELD = {
    "type": "Polygon",
    "coordinates": [[[8.0, 49.0], [8.1, 49.0], [8.1, 49.1], [8.0, 49.1], [8.0, 49.0]]],
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an area in a file."""
    monkeypatch.chdir(tmp_path)
    Path("field.geojson").write_text(json.dumps(FIELD))
    return tmp_path


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox with the newer API, which supports deletion."""
    with Sandbox(newer=True) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        yield sandbox


def an_area() -> str:
    """Register an area, and return its id."""
    with OrdersClient() as client:
        return str(client.create_aoi("field 42", FIELD, exist_ok=True).id)


def an_order(**fields: Any) -> dict[str, Any]:
    """Return a valid order."""
    begins = datetime.now(UTC).date() + timedelta(days=20)
    return {
        "area_of_interest_id": an_area(),
        "product_name": "LSTprecision",
        "frequency": "monthly",
        "start_date": f"{begins}",
        "end_date": f"{begins + timedelta(days=60)}",
        **fields,
    }


def in_yaml(path: str, *orders: dict[str, Any], **words: str) -> str:
    """Write orders as hand-written YAML: bare dates, tags in a list."""
    lines = [f"{name}: {value}" for name, value in words.items()]
    lines.append("orders:")
    for order in orders:
        fields = [f"{name}: {value}" for name, value in order.items()]
        lines += [f"  - {fields[0]}", *(f"    {field}" for field in fields[1:])]
    Path(path).write_text("\n".join(lines))
    return path


def test_orders_are_shown_before_confirmation(sandbox: Sandbox, here: Path) -> None:
    """At a terminal, the orders are shown with their area's name; only y places them."""
    file = in_yaml("summer.yaml", an_order(tags="[field42, 2026]"), comment="for Q3")
    code, screen = converse(["orders", "create", file], [("Place this order?", "n")])
    assert code == 1
    assert sandbox.orders == []
    lines = as_seen(screen)
    assert max(map(len, lines)) <= 80
    assert any("field 42" in line and "LSTprecision" in line for line in lines)
    assert "tags: field42, 2026" in screen
    assert "batch comment: for Q3" in screen
    assert "Nothing was ordered." in screen

    code, screen = converse(["orders", "create", file], [("Place this order?", "y")])
    assert code == 0
    [placed] = sandbox.orders
    assert [tag["name"] for tag in placed["tags"]] == ["field42", "2026"]
    assert placed["id"] in screen


def test_scripts_need_yes(sandbox: Sandbox, here: Path) -> None:
    """Without a terminal nothing is ordered unless --yes is passed; --json prints the orders."""
    Path("orders.json").write_text(json.dumps([an_order(), an_order(frequency="single-image")]))
    run = constellr("orders", "create", "orders.json")
    assert (run.returncode, run.stdout, sandbox.orders) == (2, "", [])
    assert "--yes" in run.stderr
    run = constellr("orders", "create", "orders.json", "--yes", "--json")
    assert run.returncode == 0
    placed = json.loads(run.stdout)
    assert [order["frequency"] for order in placed] == ["monthly", "single_image"]
    assert {order["id"] for order in placed} == {order["id"] for order in sandbox.orders}
    listed = constellr("orders", "list", "--json", "--limit", "1")
    assert [order["id"] for order in json.loads(listed.stdout)] == [sandbox.orders[-1]["id"]]


def test_placed_orders_are_named_if_stdout_fails(sandbox: Sandbox, here: Path) -> None:
    """Placed orders are named on stderr if stdout is broken, so that nobody orders again."""
    file = in_yaml("summer.yaml", an_order())
    run = in_shell(f"orders create {file} --yes --json > /dev/full")
    assert run.returncode == 1
    [placed] = sandbox.orders
    assert f"The orders were placed: {placed['id']}." in run.stderr


def test_dry_run_prints_the_payload(sandbox: Sandbox, here: Path) -> None:
    """``--dry-run`` prints the exact payload and sends nothing; - reads a pipe."""
    order = an_order()
    run = constellr("orders", "create", "-", "--dry-run", stdin=json.dumps(order))
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout) == {
        "orders": [
            {
                **order,
                "start_date": f"{order['start_date']}T00:00:00Z",
                "end_date": f"{order['end_date']}T00:00:00Z",
            }
        ]
    }
    assert sandbox.orders == []


def test_check_reports_all_violations(sandbox: Sandbox, here: Path) -> None:
    """All broken rules are listed with exit code 1, as text or JSON; nothing is sent."""
    bad = in_yaml("bad.yaml", an_order(start_date="2020-01-01", frequency="hourly"))
    for command in ("check", "create"):
        run = constellr("orders", command, bad)
        assert (run.returncode, run.stdout) == (1, "")
        assert "orders[0].start_date" in run.stderr
        assert "orders[0].frequency" in run.stderr
    run = constellr("orders", "check", bad, "--json")
    assert run.returncode == 1
    fields = {each["field"] for each in json.loads(run.stdout)["violations"]}
    assert {"start_date", "frequency"} <= fields
    good = in_yaml("good.yaml", an_order())
    assert constellr("orders", "check", good).stdout == "Valid: 1 order.\n"
    unchecked = constellr("orders", "create", bad, "--no-check", "--yes")
    assert unchecked.returncode == 1
    assert "/orders/batch answered 422" in unchecked.stderr  # the API's own check
    assert sandbox.orders == []


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ("", "holds no orders"),
        ("orders: []", "holds no orders"),
        ("[1, 2]", "mapping of fields"),
        ("a: [", "neither YAML nor JSON"),
        ("orders: [{a: 1}]\nusecase: x", "usecase"),
    ],
)
def test_files_without_orders(sandbox: Sandbox, here: Path, content: str, fragment: str) -> None:
    """A file without orders is wrong usage."""
    Path("o.yaml").write_text(content)
    run = constellr("orders", "create", "o.yaml", "--yes")
    assert (run.returncode, run.stdout) == (2, "")
    assert fragment in run.stderr


def test_equal_active_order_is_asked_about(sandbox: Sandbox, here: Path) -> None:
    """At a terminal a second question follows; only y places the order again."""
    order = an_order()
    file = in_yaml("summer.yaml", order)
    with OrdersClient() as client:
        [first] = client.create(order)
    questions = [("Place this order?", "y"), ("Place them all the same?", "n")]
    code, screen = converse(["orders", "create", file], questions)
    assert code == 1
    assert str(first.id) in screen
    assert "Nothing was ordered." in screen
    assert len(sandbox.orders) == 1
    code, _ = converse(["orders", "create", file], [*questions[:1], (questions[1][0], "y")])
    assert (code, len(sandbox.orders)) == (0, 2)


def test_equal_active_order_needs_an_option_in_scripts(sandbox: Sandbox, here: Path) -> None:
    """With --yes an equal order is a failure; the options use it, or place another one."""
    order = an_order()
    file = in_yaml("summer.yaml", order)
    with OrdersClient() as client:
        placed = [each.to_dict() for each in client.create(order)]
    run = constellr("orders", "create", file, "--yes", "--json")
    assert (run.returncode, run.stdout) == (1, "")
    for word in (placed[0]["id"], "--exist-ok", "--duplicate-ok"):
        assert word in run.stderr
    run = constellr("orders", "create", file, "--yes", "--exist-ok", "--json")
    assert (run.returncode, json.loads(run.stdout)) == (0, placed)
    assert len(sandbox.orders) == 1
    assert constellr("orders", "create", file, "--yes", "--duplicate-ok").returncode == 0
    assert len(sandbox.orders) == 2


def test_unknown_outcome_is_reported(sandbox: Sandbox, here: Path) -> None:
    """An order that may have been placed is reported as such and not sent again."""
    file = in_yaml("o.yaml", an_order())
    sandbox.fail(
        Fault(path="^/orders$", method="GET", status=403, times=9)
    )  # the search for the order fails
    sandbox.fail(Fault(path="^/orders/batch$", method="POST", kind="commit_then_reset"))
    run = constellr("orders", "create", file, "--yes", "--json")
    assert (run.returncode, run.stdout) == (1, "")
    assert "is unknown" in run.stderr
    sent = [request for request in sandbox.requests if request.path == "/orders/batch"]
    assert len(sent) == len(sandbox.orders) == 1


def test_show_update_and_wait(newer: Sandbox, here: Path) -> None:
    """show, update and wait work on one order."""
    with OrdersClient() as client:
        [order] = client.create(an_order())
    id_ = str(order.id)
    assert "pending_validation" in constellr("orders", "show", id_).stdout
    assert constellr("orders", "update", id_).returncode == 2
    run = constellr("orders", "update", id_, "--tag", "a", "--tag", "b", "--json")
    assert [tag["name"] for tag in json.loads(run.stdout)["tags"]] == ["a", "b"]
    run = constellr("orders", "update", id_, "--no-tags", "--json")
    assert json.loads(run.stdout)["tags"] == []

    run = constellr("orders", "wait", id_, "--timeout", "100ms", "--interval", "10ms")
    assert (run.returncode, run.stdout) == (1, "")
    assert "pending_validation" in run.stderr
    newer.settle_order(id_, "closed")
    run = constellr("orders", "wait", id_, "--json")
    assert (run.returncode, json.loads(run.stdout)["state"]) == (0, "closed")
    newer.settle_order(id_, "rejected", reason="too cloudy")
    run = constellr("orders", "wait", id_)
    assert run.returncode == 1
    assert "too cloudy" in run.stderr
    assert constellr("orders", "wait", id_, "--until", "rejected").returncode == 0


def test_orders_and_areas_are_deleted(newer: Sandbox, here: Path) -> None:
    """Delete asks at a terminal, needs --yes elsewhere, and reports a conflict."""
    order = an_order()
    with OrdersClient() as client:
        [placed] = client.create(order)
    id_, area = str(placed.id), order["area_of_interest_id"]
    assert constellr("orders", "delete", id_).returncode == 2
    too_early = constellr("aoi", "delete", area, "--yes")
    assert (too_early.returncode, "409" in too_early.stderr) == (1, True)
    code, screen = converse(["orders", "delete", id_], [("Delete this order?", "y")])
    assert (code, newer.orders) == (0, [])
    assert "field 42" in screen
    run = constellr("aoi", "delete", area, "--yes", "--json")
    assert json.loads(run.stdout) == {"deleted": area}
    assert newer.areas == []


def test_areas_are_geojson(sandbox: Sandbox, here: Path) -> None:
    """create, list and show print GeoJSON with --json, and tables for people."""
    made = constellr(
        "aoi", "create", "field 42", "field.geojson", "--description", "barley", "--json"
    )
    feature = json.loads(made.stdout)
    assert (feature["type"], feature["geometry"]) == ("Feature", FIELD)
    id_ = feature["id"]
    assert json.loads(constellr("aoi", "show", id_, "--json").stdout) == feature
    listed = json.loads(constellr("--json", "aoi", "list").stdout)
    assert listed == {"type": "FeatureCollection", "features": [feature]}
    table = constellr("aoi", "list").stdout
    assert id_ in table
    assert "field 42" in table
    assert "barley" in constellr("aoi", "show", id_).stdout
    again = constellr("aoi", "create", "field 42", "-", stdin=json.dumps(FIELD))
    assert again.returncode == 1
    assert id_ in again.stderr
    assert "--exist-ok" in again.stderr
    same = constellr("aoi", "create", "field 42", "-", "--exist-ok", stdin=json.dumps(FIELD))
    assert same.returncode == 0
    assert len(sandbox.areas) == 1


def test_area_info(sandbox: Sandbox, here: Path) -> None:
    """Print the size as the API measures it; nothing is registered."""
    area = json.loads(constellr("aoi", "info", "field.geojson", "--json").stdout)
    assert area["bbox_width"] == pytest.approx(7300, rel=0.02)
    text = constellr("aoi", "info", "field.geojson").stdout
    assert f"{area['bbox_width']:,.1f} m" in text
    plain = constellr("aoi", "info", "field.geojson", PYTHONIOENCODING="ascii")
    assert (plain.returncode, plain.stdout) == (0, text.replace("²", "\\xb2"))
    assert sandbox.areas == []
    Path("point.geojson").write_text('{"type": "Point", "coordinates": [8, 49]}')
    assert constellr("aoi", "info", "point.geojson").returncode != 0


def test_products(sandbox: Sandbox) -> None:
    """One product per line, or a JSON list."""
    assert constellr("products").stdout == "LSTprecision\nLSTfusion\n"
    assert json.loads(constellr("products", "--json").stdout)[0] == {"name": "LSTprecision"}
