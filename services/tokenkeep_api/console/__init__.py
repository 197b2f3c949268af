"""The console: pages for whoever runs tokenkeep. It does what its user's API key may do, by the API's own routes."""
