"""The databases of the tests: a PostgreSQL of their own, and SQLite files as they are found and damaged."""
