"""Runs the tests: the inner loop by default, everything with ``--all``; other arguments go to pytest."""

import os
import sys

import pytest

arguments = sys.argv[1:]
if "--all" in arguments:
    arguments.remove("--all")
elif "-m" not in arguments:
    arguments += ["-m", "not slow and not browser and not net"]
os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.exit(pytest.main(arguments))
