"""Image files: opening, rows, windows, cache, previews, drawing. Needs no torch."""
