"""The paper's detection study: an energy head on a frozen detector, trained by every method, refining its boxes."""
