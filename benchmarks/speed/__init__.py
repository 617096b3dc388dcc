"""How long reading, scoring, fitting and pages take, and how much memory, by size of the corpus."""
