"""Studies of the paper and benchmarks of speed: thin scripts over ltr and pytracking."""
