"""Benchmarks: run by hand, results printed as tables and one JSON line."""
