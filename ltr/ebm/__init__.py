"""Energy-based regression, knowing nothing of tracking."""
