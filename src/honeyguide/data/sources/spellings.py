"""What logs call the kinds of events where every shop may choose the names, and how they are told apart in SQL."""

from __future__ import annotations

STARS = ("rating", "rate", "rated", "review", "reviewed", "productreviewed", "stars", "score")
"""Ratings whose value is the number of stars; a like has none."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    "view": (
        "view", "viewed", "views", "pv", "pageview", "pageviewed", "productview", "productviewed", "productpageview",
        "viewproduct", "viewitem", "itemview", "itemviewed", "viewcontent", "contentview", "contentviewed",
        "contentdetails", "detail", "details", "detailview", "detailpageview", "productdetail", "productdetails",
        "productdetailview", "pdpview", "visit", "visited", "browse", "watch", "watched", "videowatch", "play",
        "played", "videoplay", "streambegins", "streamstart", "streamstarted", "stream", "videostart", "videostarted",
        "listen", "listened", "read",
    ),
    "search": ("search", "searched", "productsearch", "productsearched", "productssearched", "query"),
    "click": (
        "click", "clicked", "clicks", "clk", "productclick", "productclicked", "itemclick", "itemclicked",
        "clickthrough", "tap", "tapped", "select", "selected", "selectitem", "selectcontent", "share", "shared",
        "productshared",
    ),
    "cart": (
        "cart", "carted", "addtocart", "addedtocart", "cartadd", "addcart", "addcartitem", "productadded",
        "itemadded", "atc", "basket", "addtobasket", "addtobag", "addtotrolley", "wishlist", "addtowishlist",
        "productaddedtowishlist", "bookmark", "bookmarked", "save", "saved", "collect",
    ),
    "purchase": (
        "purchase", "purchased", "purchases", "purchasecomplete", "purchasecompleted", "productpurchased", "buy",
        "bought", "order", "ordered", "orderplaced", "ordercompleted", "completeorder", "checkoutcompleted",
        "checkoutcomplete", "transaction", "sale", "sold", "rent", "rented", "booked", "booking",
    ),
    "rating": (
        *STARS, "like", "liked", "love", "loved", "upvote", "thumbsup", "star", "starred", "fav", "favor", "favorite",
        "favorited", "favourite", "favourited",
    ),
    "dismiss": (
        "dismiss", "dismissed", "dislike", "disliked", "thumbsdown", "downvote", "hide", "hidden", "notinterested",
        "skip", "skipped", "ignore", "ignored",
    ),
    "impression": (
        "impression", "impressions", "imp", "shown", "show", "exposure", "exposed", "displayed", "served",
        "viewitemlist", "listview", "productlistviewed",
    ),
}  # fmt: skip
"""The names of each kind as letters in lower case, whatever stands between them: Add-to-Cart, ADD_TO_CART."""

TELLING_NOTHING = (
    "cartviewed", "viewcart", "cartview", "shoppingcartpageview", "removefromcart", "removedfromcart",
    "productremoved", "removecart", "cartremove", "checkout", "checkoutstarted", "startcheckout", "begincheckout",
    "initiatecheckout", "addpaymentinfo", "addshippinginfo", "removefromwishlist", "productremovedfromwishlist",
    "homepageview", "categoryview", "categorypageview", "login", "logout", "signin", "signup", "register",
)  # fmt: skip
"""Names of what says nothing of an interest in an item that the events around it do not say."""


def kind_of(column: str) -> str:
    """SQL for the kind that a name in `column` stands for; an unknown name stays, so that quarantine can say it."""
    names = {name: kind for kind, called in SPELLINGS.items() for name in called}
    kinds = ", ".join(f"'{kind}'" for kind in names.values())
    return f"coalesce(map({list(names)}, [{kinds}])[{_letters(column)}], {column}::VARCHAR)"


def tells(column: str) -> str:
    """SQL that is false of a name that tells nothing, and true of everything else: also of what is unknown."""
    return f"NOT coalesce(list_contains({list(TELLING_NOTHING)}, {_letters(column)}), false)"


def is_worth(column: str) -> str:
    """SQL for whether the value beside a name is what was paid, or the stars that were given."""
    names = [*SPELLINGS["purchase"], *STARS]
    return f"coalesce(list_contains({names}, {_letters(column)}), false)"


def first_of(*columns: str) -> str:
    """SQL for the first of these columns that is not empty."""
    given = ", ".join(f"""nullif(trim("{column}"::VARCHAR), '')""" for column in columns)
    return f"coalesce({given})"


def _letters(column: str) -> str:
    return f"regexp_replace(lower({column}::VARCHAR), '[^a-z]+', '', 'g')"
