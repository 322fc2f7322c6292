"""The side list of conversations: found, renamed, deleted."""
