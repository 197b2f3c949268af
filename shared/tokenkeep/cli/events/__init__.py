"""`tokenkeep events`: what was told, and what services sent in vain."""
