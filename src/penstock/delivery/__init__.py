"""Events to outside consumers."""
