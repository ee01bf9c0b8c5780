"""Benchmarks: each a script with a figure, run by make bench."""
