"""``python -m penstock.server.api``: started by the engine; ``PENSTOCK_PLACES`` says where things are."""

import sys

from penstock.server.api.process import main

sys.exit(main())
