"""Settings: a mistake is named with file, key and remedy, and nothing else ever comes out."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.config import FILE_NAME, STAGES, Settings, load_settings, parse_settings
from honeyguide.errors import InvalidSettings
from honeyguide.types import EVENT_KINDS


def refusal(table: dict[str, Any]) -> str:
    with pytest.raises(InvalidSettings) as caught:
        parse_settings(table)
    return str(caught.value)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text("")
    assert load_settings(path) == Settings() == parse_settings({})


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_text(
        'name = "Müller"\nseed = 7\n'
        "[explore]\nepsilon = 0\nk = 3\n"
        "[clean]\nexclude_categories = ['GAS', 'COUPON']\n"
        "[evaluate]\nfixed_levels = [0, 0.5, 1]\n",
        encoding="utf-8",
    )
    settings = load_settings(path)
    assert (settings.name, settings.seed, settings.explore.k) == ("Müller", 7, 3)
    assert settings.clean.exclude_categories == ("GAS", "COUPON")
    assert settings.evaluate.fixed_levels == (0.0, 0.5, 1.0)
    assert [type(level) for level in settings.evaluate.fixed_levels] == [float] * 3
    assert type(settings.explore.epsilon) is float, "a whole number is a fine float"
    assert settings.plm == Settings().plm


def test_every_stage_can_be_written_and_every_event_has_a_grade() -> None:
    stages = {field.name for field in fields(Settings) if is_dataclass(getattr(Settings(), field.name))}
    assert stages == set(STAGES)
    assert all(0 <= Settings().labels.grade(kind) <= 1 for kind in EVENT_KINDS)


@pytest.mark.parametrize(
    ("table", "wrong", "near"),
    [
        ({"explore": {"epsilom": 0.1}}, "epsilom", "epsilon"),
        ({"clean": {"drop_futur": True}}, "drop_futur", "drop_future"),
        ({"currancy": "EUR"}, "currancy", "currency"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(table: dict[str, Any], wrong: str, near: str) -> None:
    said = refusal(table)
    assert FILE_NAME in said
    assert repr(wrong) in said
    assert f"Did you mean {near!r}?" in said


def test_an_unknown_key_near_to_none_lists_what_there_is() -> None:
    assert "epsilon, floor, draws" in refusal({"explore": {"xyzzy": 1}})


def test_a_mistyped_section_suggests_the_section() -> None:
    assert "'explore'" in refusal({"explor": {"epsilon": 0.1}})


@pytest.mark.parametrize(
    ("table", "key", "met"),
    [
        ({"explore": {"epsilon": "0.1"}}, "epsilon", "'0.1'"),
        ({"explore": {"k": 2.5}}, "k", "2.5"),
        ({"explore": {"k": True}}, "k", "True"),
        ({"explore": {"epsilon": True}}, "epsilon", "True"),
        ({"clean": {"drop_future": 1}}, "drop_future", "1"),
        ({"clean": {"exclude_categories": "GAS"}}, "exclude_categories", "'GAS'"),
        ({"clean": {"exclude_categories": ["GAS", 3]}}, "exclude_categories", "3"),
        ({"seed": "7"}, "seed", "'7'"),
        ({"name": 7}, "name", "7"),
        ({"name": ["a"]}, "name", "['a']"),
        ({"explore": 3}, "explore", "3"),
    ],
)
def test_a_wrong_type_is_named_with_file_and_key(table: dict[str, Any], key: str, met: str) -> None:
    said = refusal(table)
    assert FILE_NAME in said
    assert key in said
    assert met in said


OUT_OF_RANGE = [
    ("clean", "duplicate_window_s", -1.0),
    ("clean", "bot_events_per_day", -1),
    ("clean", "max_value", -0.5),
    ("labels", "window_days", 0.0),
    ("labels", "purchase", 1.5),
    ("labels", "dismiss", -0.1),
    ("plm", "max_tokens", 7),
    ("plm", "batch_size", 0),
    ("plm", "dim", -1),
    ("plm", "tolerance", 1.0),
    ("plm", "form", "int4"),
    ("interests", "top", 1),
    ("interests", "leaves", 1),
    ("interests", "taste_dims", 0),
    ("interests", "half_life_days", -1.0),
    ("sequence", "balance", "even"),
    ("sequence", "coverage", -0.1),
    ("sequence", "calibration", -0.1),
    ("explore", "epsilon", 1.01),
    ("explore", "floor", 0.0),
    ("explore", "draws", 1),
    ("explore", "k", 0),
    ("explore", "candidates", 9),
    ("explore", "horizon_days", 0.0),
    ("evaluate", "bootstrap", 9),
    ("explore", "epsilon", float("nan")),
    ("labels", "window_days", float("inf")),
    ("explore", "horizon_days", 10**400),
    ("evaluate", "fixed_levels", [0.5, -0.1]),
    ("evaluate", "fixed_levels", [0.5, float("nan")]),
]


def test_a_balance_of_nothing_is_refused() -> None:
    nothing = {"coverage": 0.0, "calibration": 0.0}
    assert parse_settings({"sequence": nothing}).sequence.balance == "none"
    assert "raise one of them" in refusal({"sequence": {**nothing, "balance": "fixed"}})


@pytest.mark.parametrize(("stage", "key", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_named_with_file_section_and_key(stage: str, key: str, value: Any) -> None:
    said = refusal({stage: {key: value}})
    assert said.startswith(f"{FILE_NAME}: [{stage}]")
    assert key in said
    assert str(value[1] if isinstance(value, list) else value) in said


def test_a_seed_below_zero_is_refused_before_it_meets_a_generator() -> None:
    assert refusal({"seed": -1}) == f"{FILE_NAME}: seed must be at least 0, got -1"


def test_a_missing_file_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="honeyguide init"):
        load_settings(tmp_path / FILE_NAME)


NOT_TOML = [
    b"a = ",
    b"[explore\n",
    b"\xff\xfe",
    b"a = 1\na = 2",
    b"seed = 1" + b"0" * 5000,
    b"a = " + b"[" * 9000,
]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_settings(tmp_path)


@pytest.mark.parametrize("text", NOT_TOML, ids=range(len(NOT_TOML)))
def test_what_is_not_toml_is_refused_with_the_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(text)
    with pytest.raises(InvalidSettings, match=FILE_NAME):
        load_settings(path)


KNOWN = st.sampled_from(sorted({f.name for kind in (Settings, *STAGES.values()) for f in fields(kind)}))
SCALARS = (
    st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.datetimes()
    | st.dates()
    | st.times()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KNOWN | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=6,
)


def taken(table: dict[str, Any], named: str) -> Settings | None:
    """The settings, or None where they were refused in a message that names where; any other error comes out."""
    try:
        return parse_settings(table)
    except InvalidSettings as error:
        refused = str(error)
    assert named in refused
    return None


@given(st.dictionaries(KNOWN | st.text(max_size=5), VALUES, max_size=5))
def test_whatever_a_table_holds_only_a_refusal_comes_out(table: dict[str, Any]) -> None:
    assert taken(table, FILE_NAME) == taken(table, FILE_NAME)


@given(st.sampled_from(sorted(STAGES)), KNOWN, VALUES)
def test_one_key_with_any_value_is_taken_only_where_the_section_has_it(
    stage: str, key: str, value: Any
) -> None:
    settings = taken({stage: {key: value}}, f"{FILE_NAME}: [{stage}]")
    assert settings is None or hasattr(getattr(settings, stage), key)


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_whatever_a_file_holds_only_a_refusal_comes_out(tmp_path_factory: Any, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / FILE_NAME
    path.write_bytes(data)
    try:
        settings = load_settings(path)
    except InvalidSettings:
        settings = Settings()
    assert isinstance(settings, Settings)
