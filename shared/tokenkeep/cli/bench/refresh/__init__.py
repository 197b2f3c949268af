"""The whole road of a refresh: from due to settled."""
