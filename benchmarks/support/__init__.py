"""What several benchmarks share: corpora, stores of any size, and the table of figures by size."""
