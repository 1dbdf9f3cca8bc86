"""Pure functions on tensors: boxes, Precise RoI Pooling, crops."""
