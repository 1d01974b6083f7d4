"""An event to a user's function: environments, warm workers, limits."""
