"""Benchmarks: what a turn, a start and a rest cost. Never part of the tests."""
