"""The names of an artifact's files and tensors. The trainer writes them, and other services read them."""

MODEL_FILE = "model.onnx"
"""The network as ONNX. The evaluator measures it and the gateway serves it."""
WEIGHTS_FILE = "weights.safetensors"
"""The weights as torch has them."""
SIGNATURE_FILE = "signature.json"
"""Inputs and outputs of the network, with datatypes and shapes."""
TRAINING_FILE = "training.json"
"""How the network was trained: epochs with their losses, seed, libraries."""
TEST_ROWS_FILE = "test.safetensors"
"""The rows that were not used in the training, with their true answers."""
PROVENANCE_FILE = "provenance.json"
"""The sources of the other files, as an in-toto statement."""

EXPORTED_FILES = (MODEL_FILE, WEIGHTS_FILE, SIGNATURE_FILE, TRAINING_FILE, TEST_ROWS_FILE)
"""The files that the training process writes. The provenance has their digests, so it is written after them."""

FEATURES_TENSOR = "X"
"""Tensor in the test rows: the features, float32, one row for each."""
ANSWERS_TENSOR = "y"
"""Tensor in the test rows: one true answer for each row."""

INPUT = "features"
"""The input of the ONNX graph: float32. The first dimension is the batch."""
OUTPUT = "prediction"
"""The output of the ONNX graph: one prediction for each row of the batch."""
