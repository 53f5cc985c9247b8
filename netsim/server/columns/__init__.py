"""Column printers of Tables, one module per API group."""
