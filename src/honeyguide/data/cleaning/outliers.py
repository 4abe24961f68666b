"""Prices and quantities that cannot be: far beyond what is normal for this very item.

A wrong price shifts what is normal, so the worst are taken out and the rest is looked at again until nothing is
beyond the limit any more; cleaning what is clean therefore changes nothing. Prices are compared within a currency.
"""

from __future__ import annotations

from honeyguide.data.cleaning.log import Log
from honeyguide.data.cleaning.report import RuleCount
from honeyguide.data.database import number


def price_outliers(log: Log, ratio: float, least: int) -> RuleCount:
    """Drop purchases whose unit price is more than `ratio` times the item's median over at least `least`."""
    unit = "value / (CASE WHEN quantity > 0 THEN quantity ELSE 1 END)"
    _find(log, unit, "median(amount)", ratio, least)
    note = "printf('%.2f each, where %.2f is usual', amount, normal)"
    reason = f"more than {ratio:g} times the usual price of that item: a typing error or another unit"
    return log.drop(
        "price_outlier", f'SELECT "row", amount / normal AS weight, {note} AS note FROM beyond', reason
    )


def quantity_outliers(log: Log, ratio: float, least: int) -> RuleCount:
    """Drop purchases of more than `ratio` times the quantity that 95 % of at least `least` purchases stay below."""
    _find(log, "quantity", "quantile_disc(amount, 0.95)", ratio, least)
    note = "printf('%.0f pieces, where 95 %% take %.0f or fewer', amount, normal)"
    reason = (
        f"more than {ratio:g} times the pieces that are usual for that item: a typing error or a reseller"
    )
    return log.drop(
        "quantity_outlier", f'SELECT "row", amount / normal AS weight, {note} AS note FROM beyond', reason
    )


def _find(log: Log, amount: str, normal: str, ratio: float, least: int) -> None:
    """The table `beyond` of (row, amount, normal)."""
    log.db.execute('CREATE OR REPLACE TABLE beyond ("row" BIGINT, amount DOUBLE, normal DOUBLE)')
    bought = f"""SELECT "row", item_id, currency, {amount} AS amount FROM events
        WHERE kind = 'purchase' AND {amount} > 0"""
    # only an item whose dearest purchase is that far above its cheapest can have an outlier
    log.db.execute(f"""
        CREATE OR REPLACE TABLE wide AS SELECT item_id, coalesce(currency, '') AS currency FROM ({bought})
        GROUP BY ALL HAVING count(*) >= {least} AND max(amount) > {ratio!r} * min(amount)""")
    log.db.execute(f"""
        CREATE OR REPLACE TABLE bought AS SELECT "row", item_id, coalesce(currency, '') AS currency, amount
        FROM ({bought}) WHERE (item_id, coalesce(currency, '')) IN (SELECT (item_id, currency) FROM wide)""")
    while _take_out(log, normal, ratio, least):
        pass


def _take_out(log: Log, normal: str, ratio: float, least: int) -> int:
    """Move what is beyond the limit by today's normal from `bought` to `beyond`; how many."""
    log.db.execute(f"""
        CREATE OR REPLACE TABLE worst AS SELECT "row", amount, normal FROM bought JOIN
            (SELECT item_id, currency, {normal} AS normal FROM bought GROUP BY ALL HAVING count(*) >= {least})
        USING (item_id, currency) WHERE amount > {ratio!r} * normal""")
    log.db.execute("INSERT INTO beyond FROM worst")
    log.db.execute('DELETE FROM bought WHERE "row" IN (SELECT "row" FROM worst)')
    return number(log.db, "SELECT count(*) FROM worst")
