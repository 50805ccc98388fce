"""Heads: what turns features into boxes, one published head a file."""
