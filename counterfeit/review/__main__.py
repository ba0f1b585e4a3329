"""``python -m counterfeit.review``."""

import sys

from counterfeit.review import main

if __name__ == "__main__":
    sys.exit(main())
