"""Private names of argparse."""

import argparse

from lushan.compat.argparse import flags


def test_flags_of_a_parser() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--multirun", "-m", help="not --cfg")
    parser.add_argument("overrides", nargs="*")
    assert flags(parser) == ["-h", "--help", "--multirun", "-m"]
