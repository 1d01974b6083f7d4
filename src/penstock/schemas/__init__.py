"""Published JSON Schemas, as files of this package."""
