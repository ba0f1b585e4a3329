"""Work on several machines, by Ray: scores of a listing, and calls that need nothing of each other."""

from counterfeit.scale.cluster import connected, spread
from counterfeit.scale.scoring import score_listing_on

__all__ = ["connected", "score_listing_on", "spread"]
