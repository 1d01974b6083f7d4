"""Published JSON Schemas, as files of this package."""

from importlib.resources import files

DEFINITIONS = "definitions-1.json"


def definitions() -> str:
    """Return the JSON Schema of YAML definitions, as ``penstock schema`` prints it."""
    return files(__name__).joinpath(DEFINITIONS).read_text(encoding="utf-8")
