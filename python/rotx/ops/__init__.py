"""Rotated operators for torch."""
