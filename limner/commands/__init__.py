"""The verbs of the command `limner`, a module each with `main(arguments)`."""
