"""Suites, statistics, reports and gates: what is measured, and with which uncertainty."""
