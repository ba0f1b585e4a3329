"""Hard synthetic counterfeits from photographs of genuine products, and an honest test of whether they help."""

import os

# albumentations otherwise asks the package index for a newer version on import.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"
