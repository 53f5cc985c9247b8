"""Names of others: asked of upstream servers, kept for as long as they say."""
