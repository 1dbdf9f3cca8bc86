"""Experiments: modules of functions that each return (trackers, sequences), for `run_experiment.py`."""
