"""Check an order, print its payload, and place it.

``constellr sandbox -- python examples/order.py`` runs it without an account, and without cost.
"""

from datetime import UTC, datetime, timedelta

from constellr_stac.orders import Order, OrdersClient, OrderValidationError

HARBOUR = {
    "type": "Polygon",
    "coordinates": [
        [[-118.29, 33.74], [-118.15, 33.74], [-118.15, 33.86], [-118.29, 33.86], [-118.29, 33.74]]
    ],
}


def main() -> None:
    """Check, show and place an order."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    with OrdersClient() as client:
        size = client.geometry_info(HARBOUR)
        print(f"The area is {size.bbox_width:,.0f} m wide and {size.bbox_height:,.0f} m high.")
        area = client.create_aoi("Los Angeles harbour", HARBOUR, exist_ok=True)

        order = Order(
            area_of_interest_id=area,
            product_name="LSTprecision",
            frequency="max_frequency",
            start_date=today + timedelta(days=2),
            end_date=today + timedelta(days=40),
            tags=["heat"],
        )
        try:
            client.check_order(order)
        except OrderValidationError as error:
            print(error)

        order = order.model_copy(update={"start_date": today + timedelta(days=10)})
        print(client.create(order, dry_run=True))
        [placed] = client.create(order, exist_ok=True)  # run again today, it orders nothing
        print(f"{placed.id} is {placed.state}.")


if __name__ == "__main__":
    main()
