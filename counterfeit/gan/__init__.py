"""From genuine photographs to hard counterfeits: evidence, transplants and the adversarial refiner."""
