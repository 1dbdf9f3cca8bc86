"""The paper's one-dimensional regression study (section 4.1; docs/reference.md, section 8)."""
