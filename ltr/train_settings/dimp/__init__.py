"""Recipes of the DiMP trackers."""
