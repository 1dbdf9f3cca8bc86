"""Training recipes: a function `<name>()` in the package `<module>`, or a file `<module>/<name>.py` with `recipe()`."""
