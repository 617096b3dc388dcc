"""What several benchmarks share: corpora, stores of any size, and a table of measurements by size."""
