"""What goes to webhooks, and what of their answers is kept."""
