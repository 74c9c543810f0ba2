"""Views: how the log looks from one side. Folding an event into a view happens here; reading a view does not."""
