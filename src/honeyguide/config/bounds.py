"""What a number of a setting may be: InvalidSettings names the key and the bound."""

from honeyguide.errors import InvalidSettings


def at_least(stage: object, key: str, low: float) -> None:
    """Refuse a stage whose `key` is below `low`."""
    value = getattr(stage, key)
    if not value >= low:
        raise InvalidSettings(f"{key} must be at least {low}, got {value}")


def positive(stage: object, key: str) -> None:
    """Refuse one whose `key` is not above 0."""
    value = getattr(stage, key)
    if not value > 0:
        raise InvalidSettings(f"{key} must be above 0, got {value}")


def within(stage: object, key: str, low: float, high: float) -> None:
    """Refuse one whose `key` is outside of `low` to `high`."""
    value = getattr(stage, key)
    if not low <= value <= high:
        raise InvalidSettings(f"{key} must lie in {low}..{high}, got {value}")
