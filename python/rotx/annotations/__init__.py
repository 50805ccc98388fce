"""Label and result files: readers and writers of every format, classes, conversion, checks. Needs no torch."""
