"""Makes the ONNX files of this folder, each as its framework's own converter writes it, and what the framework answers.

Headgate's environment has none of these frameworks, so each file is made in one of its own:

uv run --no-project --with xgboost-cpu==3.2.0 --with onnxmltools==1.16.0 --with skl2onnx==1.20.0 make.py xgboost
uv run --no-project --with lightgbm==4.7.0 --with onnxmltools==1.16.0 --with skl2onnx==1.20.0 make.py lightgbm
uv run --no-project --with tensorflow-cpu==2.21.0 --with keras==3.15.1 --with tf2onnx==1.17.0 make.py keras
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COLUMNS, TRAINED, ASKED = 4, 400, 5


def main():
    framework = sys.argv[1]
    features = np.random.default_rng(1).standard_normal((TRAINED, COLUMNS)).astype(np.float32)
    answers = (features[:, 0] * features[:, 1] + features[:, 2] > 0).astype(np.int64)
    file = HERE / f"{framework}.onnx"
    probabilities = MAKERS[framework](features, answers, file)
    asked = {"features": features[:ASKED].tolist(), "probabilities": probabilities(features[:ASKED]).tolist()}
    (HERE / f"{framework}.json").write_text(json.dumps(asked) + "\n")


def xgboost(features, answers, file):
    from onnxmltools import convert_xgboost
    from xgboost import XGBClassifier

    trees = XGBClassifier(n_estimators=8, max_depth=3, random_state=1).fit(features, answers)
    file.write_bytes(convert_xgboost(trees, initial_types=_inputs()).SerializeToString())
    return trees.predict_proba


def lightgbm(features, answers, file):
    from lightgbm import LGBMClassifier
    from onnxmltools import convert_lightgbm

    trees = LGBMClassifier(n_estimators=8, max_depth=3, random_state=1, verbose=-1).fit(features, answers)
    file.write_bytes(convert_lightgbm(trees, initial_types=_inputs(), zipmap=False).SerializeToString())
    return trees.predict_proba


def keras(features, answers, file):
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1, activation="sigmoid")
    network = keras.Sequential([keras.Input((COLUMNS,), name="features"), *layers])
    network.compile(optimizer=keras.optimizers.Adam(0.05), loss="binary_crossentropy")
    network.fit(features, answers, epochs=10, verbose=0)
    network.export(file, format="onnx", verbose=False)
    return network.predict


def _inputs():
    from onnxmltools.convert.common.data_types import FloatTensorType

    return [("features", FloatTensorType([None, COLUMNS]))]


MAKERS = {"xgboost": xgboost, "lightgbm": lightgbm, "keras": keras}

if __name__ == "__main__":
    main()
