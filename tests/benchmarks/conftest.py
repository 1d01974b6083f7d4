"""The suite is run from the checkout and not installed, so that its place has to be named."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
