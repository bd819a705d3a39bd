"""PP-OCR's networks as PyTorch modules, made from the ONNX graphs that RapidOCR publishes."""
