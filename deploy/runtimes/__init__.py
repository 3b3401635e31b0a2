"""What runs a graph or a generator on this machine, behind one interface: arrays by name in, one array out."""
