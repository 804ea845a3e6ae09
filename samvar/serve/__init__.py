"""`samvar serve`: a page to look variants up, and a JSON API."""
