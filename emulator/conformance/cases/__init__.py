"""The cases, one file for each group. A new one is a function and a row in its file's table."""
