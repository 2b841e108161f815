"""The command line: parses, calls one function of a package, prints. Nothing else lives here."""
