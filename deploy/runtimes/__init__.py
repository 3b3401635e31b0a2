"""Runtimes behind one interface: arrays by port name in, one array out."""
