"""What artefacts of language models are called and which files they hold."""

ENCODER = "encoder"
LANGUAGE_MODEL = "language-model"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
CARD = "README.md"

VECTORS, TAGS = "vectors", "tags"
"""What a graph's output is called: (texts, dim), or (texts, tokens, tags)."""
