"""Notebooks that analyse results on disk, and what they share. Start with `jupyter lab pytracking/notebooks`."""
