"""The ONNX graph of a generator: its export, and its rewrites to half, to int8 and to uint8 input and output."""
