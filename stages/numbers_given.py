"""Whole numbers as the command line gives them, refused where nothing could be done with them."""

import argparse


def positive(text: str) -> int:
    """A count of at least one."""
    return _at_least(1, text)


def not_negative(text: str) -> int:
    """A count that may be none."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number
