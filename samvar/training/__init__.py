"""From genomes to weights: data, recipes, runs, bundles."""
