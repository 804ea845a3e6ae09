"""What a variant does to splice sites, and why."""
