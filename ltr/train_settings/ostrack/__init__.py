"""Recipes of OSTrack, and of the energy on its tokens."""
