"""Results to next steps: definitions read and checked, runs folded."""
