"""Recipes of ATOM, whose network is a box head on a frozen backbone."""
