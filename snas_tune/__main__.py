"""``python -m snas_tune``: the same as the command ``snas-tune``."""

import sys

from snas_tune.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
