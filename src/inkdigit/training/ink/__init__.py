"""The ink network: trained on drawn scenes, exported to `picture/photo/ink.onnx`."""
