"""The admin API: the one door through which an installation is administered."""
