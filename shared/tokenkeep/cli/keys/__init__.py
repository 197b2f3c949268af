"""`tokenkeep keys`: the keyring that wraps every data key, and its rotation."""
