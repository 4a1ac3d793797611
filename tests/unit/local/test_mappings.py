"""The partial batch response, as infra/local/mappings.py reads it."""

import pytest

from infra.local.mappings import failed_items

ALL = frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, frozenset()),
        ({}, frozenset()),
        ({"batchItemFailures": []}, frozenset()),
        ({"batchItemFailures": None}, frozenset()),
        ({"batchItemFailures": [{"itemIdentifier": "b"}]}, frozenset({"b"})),
        ({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}, ALL),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, ALL),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, ALL),
        ({"batchItemFailures": [{"wrong": "a"}]}, ALL),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, ALL),
        ({"batchItemFailures": ["a"]}, ALL),
        ({"batchItemFailures": "a"}, ALL),
        ({"other": 1}, ALL),
        ("text", ALL),
    ],
)
def test_failed_items(answer, expected) -> None:
    """What AWS takes for complete success, partial failure and complete failure."""
    assert expected == failed_items(answer, ["a", "b"])
