"""Training recipes: one file each, `<module>/<name>.py` with `recipe()`."""
