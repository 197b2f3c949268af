"""What tokenkeep knows and decides: values and pure functions, no input or output."""
