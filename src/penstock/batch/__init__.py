"""Heavy work on farms."""
