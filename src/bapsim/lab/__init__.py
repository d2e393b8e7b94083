"""Experiments on a user's own data, of which no wheel is needed."""
