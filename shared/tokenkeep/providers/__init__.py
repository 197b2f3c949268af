"""What tokenkeep knows of providers: the catalogue, the requests they want, what their answers mean."""
