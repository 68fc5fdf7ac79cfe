"""``python -m dolambda.r DIRECTORY``: the bridge, in the form in which the R package starts it."""

from __future__ import annotations

import sys

from dolambda.r.bridge import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
