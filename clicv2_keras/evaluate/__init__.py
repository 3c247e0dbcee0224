"""Evaluation: how well features or scores agree with human or known complexity."""
