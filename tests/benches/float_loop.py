"""The baseline of the evaluation bench: a plain loop that reads the files and converts the numbers."""

import sys
from pathlib import Path

for file in sorted(Path(sys.argv[1]).glob("*/*.txt")):
    with file.open() as lines:
        for line in lines:
            for word in line.split():
                if word[0] in "0123456789-.":
                    float(word)
