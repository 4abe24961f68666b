"""What an encoder artefact is called and which files it holds."""

ENCODER = "encoder"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
