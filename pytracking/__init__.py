"""Online tracking: trackers, parameters, evaluation data sets, results and analysis."""
