"""What artefacts of language models are called and which files they hold."""

ENCODER = "encoder"
LANGUAGE_MODEL = "language-model"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
CARD = "README.md"
