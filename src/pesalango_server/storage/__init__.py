"""Databases: named statements, migrations, and one writer and one reader for each dialect."""
