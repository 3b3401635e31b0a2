"""ONNX graphs: export and rewrites."""
