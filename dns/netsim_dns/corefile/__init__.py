"""CoreDNS's configuration file, read as far as its plugins' work is done here."""
