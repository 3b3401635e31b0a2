"""TensorRT, TensorRT-RTX and Torch-TensorRT; importable without any of them."""
