"""Offline learning: networks, energy-based regression, data and training."""
