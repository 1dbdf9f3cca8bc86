"""What the online trackers have in common, and that knows nothing of any one of them."""
