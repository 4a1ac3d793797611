"""Pure mail logic: the standard library only, no I/O, no clock, no randomness (tests/unit/test_architecture.py)."""
