"""Who may call: applications, their keys and sessions, worlds, administrators."""
