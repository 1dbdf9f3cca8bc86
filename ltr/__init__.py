"""Offline learning: networks, energy-based regression, data and training."""

from ltr import moved

moved.install()
