"""Runs the tests: the inner loop by default, everything with ``--all``; other arguments go to pytest.

The inner loop runs on all cores. What is slow has the machine for itself: much of it kills, stops and
measures processes.
"""

import os
import sys

import pytest

INNER = [
    "-m",
    "not slow and not browser and not net",
    "-n",
    "auto",
    "--maxprocesses",
    "8",
    "--dist",
    "loadfile",
]
REST = ["-m", "slow or browser or net"]


def main(arguments: list[str]) -> int:
    """Run what is asked for and return the worst exit code."""
    if "--all" in arguments:
        arguments.remove("--all")
        return max(pytest.main([*arguments, *INNER]), pytest.main([*arguments, *REST]))
    if (
        "-m" in arguments
        or "-k" in arguments
        or any(os.path.exists(each.split("::")[0]) for each in arguments)
    ):
        return int(pytest.main(arguments))
    return int(pytest.main([*arguments, *INNER]))


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.exit(main(sys.argv[1:]))
