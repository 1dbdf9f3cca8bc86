"""The paper's one-dimensional regression study (section 4.1; SPEC section 8)."""
