"""What artefacts of language models are called and which files they hold."""

ENCODER = "encoder"
LANGUAGE_MODEL = "language-model"
STUDENT = "student"
COMPACT = "compact-model"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
WEIGHTS = "model.safetensors"  # never pytorch_model.bin: that is a pickle, and a pickle can run code
PROMPTS = "config_sentence_transformers.json"
CARD = "README.md"

VECTORS, TAGS = "vectors", "tags"
"""What a graph's output is called: (texts, dim), or (texts, tokens, tags)."""
