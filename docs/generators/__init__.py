"""Writes the pages and pictures of docs/ that follow from the code: `python -m docs.generators`.

tests/docs/test_generated.py fails when a committed one is out of date.
"""
