"""cli/quick_json.py writes and reads as the json package does, or refuses."""

import json

import pytest

from paravion.cli import quick_json

VALUES = [
    None,
    True,
    0,
    -17,
    "",
    'a"\\\n\x00é\U0001f600\udcff',
    [],
    [1, "a", [None]],
    {},
    {"a": {"b": [True, {}]}},
    ("x",),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_round_trip(value):
    """Both ways, against the package."""
    octets = quick_json.dumps(value)
    assert json.loads(json.dumps(value)) == json.loads(octets) == quick_json.loads(octets)


@pytest.mark.parametrize("text", ["", " ", "{", "{}x", "nul", '{"a":}', '"\n"', "[1,]"])
def test_no_json(text):
    """ValueError, whoever reads it."""
    with pytest.raises(ValueError, match=r".*"):
        quick_json.loads(text)
    with pytest.raises(ValueError, match=r".*"):
        json.loads(text)


def test_what_is_not_written():
    """Nothing is guessed."""
    with pytest.raises(TypeError):
        quick_json.dumps({"a": 1.5})
    with pytest.raises(TypeError):
        quick_json.dumps(b"x")
