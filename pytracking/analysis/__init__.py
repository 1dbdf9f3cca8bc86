"""Protocols, metrics, plots and tables of raw results."""
