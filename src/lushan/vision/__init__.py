"""Images: how they become what models read."""
