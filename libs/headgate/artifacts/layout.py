"""The files of an artifact and the tensors in them, by name. The trainer writes them; others read them."""

MODEL_FILE = "model.onnx"
"""The network as ONNX: it is evaluated, and it serves."""
WEIGHTS_FILE = "weights.safetensors"
"""The weights as torch had them."""
SIGNATURE_FILE = "signature.json"
"""Inputs and outputs of the network, with datatypes and shapes."""
TRAINING_FILE = "training.json"
"""How the network was trained: epochs with their losses, seed, libraries."""
TEST_ROWS_FILE = "test.safetensors"
"""The rows that were kept out of the training, with their answers."""
PROVENANCE_FILE = "provenance.json"
"""What the other files were made from, as an in-toto statement."""

EXPORTED_FILES = (MODEL_FILE, WEIGHTS_FILE, SIGNATURE_FILE, TRAINING_FILE, TEST_ROWS_FILE)
"""What the training process leaves behind. The provenance names their digests, so it is written after them."""

FEATURES_TENSOR = "X"
"""In the test rows: float32, one row of features for each row."""
ANSWERS_TENSOR = "y"
"""In the test rows: one true answer for each row."""

INPUT = "features"
"""The input of the ONNX graph: float32, the first dimension is the batch."""
OUTPUT = "prediction"
"""The output of the ONNX graph: one prediction for each row of the batch."""
