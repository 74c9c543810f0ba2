"""The private server of a folder, with real processes that come, go and are killed."""
