# /// script
# requires-python = ">=3.11"
# dependencies = ["h5py==3.16.0", "hdf5plugin==7.1.0", "numpy==2.4.6", "pillow==13.0.0"]
# ///
"""A workflow for each scan of a beamline: look into the file, draw it, reduce it, write one page.

::

    raw/…/scan.h5 ──► metadata ──┬──► preview ───────────┬──► page ──► derived/scan/index.html
                                 └──► reduce (batch) ────┘

The functions are in the files beside this one; deploying this file deploys them with it.
"""

from metadata import metadata
from page import page
from preview import preview
from reduce import reduce

from penstock import workflow

NEW = {"any": [{"exact": {"type": f"penstock.file.{kind}"}} for kind in ("created", "updated")]}
FORMATS = {"any": [{"glob": {"path": f"raw/**/*.{suffix}"}} for suffix in ("h5", "hdf5", "nxs")]}

scan = workflow(
    "scan",
    on={"all": [NEW, FORMATS]},
    summary="Metadata, picture, reduced curve and one page for each new HDF5 or NeXus file in raw/",
)
look = scan.step(metadata)
draw = scan.step(preview, after=look)
curve = scan.step(reduce, after=look)
scan.step(page, after=(look, draw, curve))
