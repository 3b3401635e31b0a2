"""Generators and discriminators: hyper-parameters in, tensors out."""
