"""PostgreSQL holds every fact. Repositories take a session or connection, speak domain types and never commit."""
