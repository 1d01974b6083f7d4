"""An event in, the subscriptions that match it out."""
