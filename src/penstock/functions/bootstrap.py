"""What stands before a user's file in any interpreter: the SDK by path, and the file as a module.

Standard library only. The scripts that run in a function's own environment (``describe``, ``once``,
the zygote) share it; that environment need not have Penstock installed.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location, spec_from_loader
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[1]


def install_sdk() -> None:
    """Make ``penstock`` and ``penstock.sdk`` importable from where this file lies.

    The package is registered whole, by path: ``penstock.sdk`` needs nothing else, and other parts
    work where the environment happens to have what they need. Does nothing when it is there already.
    """
    if "penstock" in sys.modules:
        return
    spec = spec_from_file_location(
        "penstock", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["penstock"] = module
    spec.loader.exec_module(module)


def load(file: Path) -> ModuleType:
    """Import a user's file, its folder first on ``sys.path`` so that its neighbours can be imported.

    The module is called like the file unless that name is taken (a file ``json.py``, say).

    Raises:
        Exception: Whatever the file raises while it is imported.
    """
    file = file.resolve()
    sys.path.insert(0, str(file.parent))
    loader = SourceFileLoader(_module_name(file), str(file))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module
    loader.exec_module(module)
    return module


def _module_name(file: Path) -> str:
    name = re.sub(r"\W", "_", file.stem)
    taken = name in sys.modules or name in sys.stdlib_module_names
    return f"_{name}" if taken or not name.isidentifier() else name


if __name__ == "__main__":
    # ``python -I bootstrap.py SCRIPT ARGUMENT…`` runs a script of this room where Penstock is not installed.
    install_sdk()
    import_module(f"penstock.functions.{sys.argv[1]}").main(*sys.argv[2:])
