"""Images and their labels: from a folder of photographs to batches."""
