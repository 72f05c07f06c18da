"""Methods: how a search steps and what it derives. METHODS names them."""
