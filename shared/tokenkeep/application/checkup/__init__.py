"""What is looked at in an installation, and what is to be done about it: pure judgements of facts that adapters gather."""
