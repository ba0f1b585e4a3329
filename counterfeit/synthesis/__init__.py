"""From a trained refiner to a bank of synthetic images: draw, gate, choose, write."""

from counterfeit.synthesis.bank import Bank, read_bank, write_bank
from counterfeit.synthesis.choose import choose_hard
from counterfeit.synthesis.gate import Gates, fit_gates
from counterfeit.synthesis.synthesise import (
    Candidates,
    Drawn,
    SynthesisSettings,
    draw_candidates,
    synthesise,
    transplants,
)

__all__ = [
    "Bank",
    "Candidates",
    "Drawn",
    "Gates",
    "SynthesisSettings",
    "choose_hard",
    "draw_candidates",
    "fit_gates",
    "read_bank",
    "synthesise",
    "transplants",
    "write_bank",
]
