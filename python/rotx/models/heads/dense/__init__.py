"""Heads that predict at every place of every feature map."""
