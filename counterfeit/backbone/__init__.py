"""The frozen network that every stage looks through, and distances in its feature space."""

from counterfeit.backbone.coreset import greedy_coreset, nearest_distances
from counterfeit.backbone.embedder import Embedder, Embeddings
from counterfeit.backbone.folding import folded_backbone
from counterfeit.backbone.gaussian import GenuineGaussian
from counterfeit.backbone.genuine import GenuineBank, GenuineDistances, cross_fitting_folds
from counterfeit.backbone.network import Backbone, load_backbone
from counterfeit.backbone.places import GenuinePlaces
from counterfeit.backbone.scales import floored, patch_sample

__all__ = [
    "Backbone",
    "Embedder",
    "Embeddings",
    "GenuineBank",
    "GenuineDistances",
    "GenuineGaussian",
    "GenuinePlaces",
    "cross_fitting_folds",
    "floored",
    "folded_backbone",
    "greedy_coreset",
    "load_backbone",
    "nearest_distances",
    "patch_sample",
]
