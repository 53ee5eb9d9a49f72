"""Use cases that move money: what each needs, and how it is decided. Pure functions over a book."""
