"""How good a detector is, and whether one way of training it beats another: without torch."""
