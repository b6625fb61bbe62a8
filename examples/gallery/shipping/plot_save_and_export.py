"""
Saved, loaded and exported
==========================

A fitted classifier is saved to a file without a pickle, for people, and
exported as one graph from images to probabilities, for phones, browsers
and servers. Both give the classifier's predictions, and this is checked.
"""

# %%
# A fitted classifier
# -------------------

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from sklearn_patt_lite import PAttLiteClassifier
from sklearn_patt_lite.datasets import make_expression_faces

faces = make_expression_faces(
    n_subjects=100, n_per_expression=1, random_state=0
)
y = faces.target_names[faces.target]
is_trained = faces.groups < 80
test = faces.images[~is_trained]

classifier = PAttLiteClassifier(
    backbone_weights="drawn",
    alpha=0.25,
    input_size=96,
    patch_size=3,
    finetune_epochs=20,
    random_state=0,
)
classifier.fit(faces.images[is_trained], y[is_trained])
accuracy = classifier.score(test, y[~is_trained])
print(f"accuracy on unseen people: {accuracy:.3f}")

# %%
# For people
# ----------
#
# ``save_model`` writes a zip archive of data only: loading it runs no code
# from it, whoever made it. The description should say who is in the
# training images; it becomes part of a model card in the archive.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name)
classifier.save_model(
    path / "faces.zip", description="Trained on 80 *drawn* people."
)
loaded = PAttLiteClassifier.load_model(path / "faces.zip")

probabilities = classifier.predict_proba(test)
print(
    "largest difference of a probability:",
    abs(loaded.predict_proba(test) - probabilities).max(),
)

# %%
# For other runtimes
# ------------------
#
# ``export_model`` writes a file for LiteRT or ONNX Runtime. The exported
# graph resizes and scales images itself. ONNX and LiteRT in 8 bits need
# the extra ``export``. Before the file is kept, its predictions for the
# images ``X`` are compared with the classifier's. With ``calibration``
# images, convolution kernels are stored in 8 bits, at the cost of small
# differences.

reports = {
    "LiteRT": classifier.export_model(path / "faces.tflite", X=test),
    "LiteRT, 8 bits": classifier.export_model(
        path / "small.tflite",
        X=test,
        calibration=faces.images[is_trained][:100],
    ),
    "ONNX": classifier.export_model(
        path / "faces.onnx", format="onnx", X=test
    ),
}
for name, report in reports.items():
    print(
        f"{name:15}{report.n_bytes / 1000:5.0f} kB, "
        f"probabilities differ by at most {report.max_difference:.0e}, "
        f"{100 * report.agreement:.1f} % of the labels agree"
    )

# %%
# Next to each file, a JSON file describes its input and output. LiteRT
# needs no more than that, neither this library nor TensorFlow.

contract = json.loads((path / "faces.tflite.json").read_text())
network = Interpreter(str(path / "faces.tflite")).get_signature_runner()
face = test[:1].astype(contract["input"]["dtype"])
found = network(image=face)["probabilities"]
print("LiteRT:", contract["output"]["labels"][np.argmax(found)])
print("classifier:", classifier.predict(test[:1])[0])

# %%
# Sizes and differences
# ---------------------

figure, (left, right) = plt.subplots(
    1, 2, figsize=(7.5, 2.6), sharey=True, layout="constrained"
)
names = list(reports)
sizes = left.barh(
    names, [report.n_bytes / 1000 for report in reports.values()]
)
left.bar_label(sizes, fmt="%.0f", padding=3)
left.set(xlabel="size, kB")
left.margins(x=0.15)
left.invert_yaxis()
differences = [report.max_difference for report in reports.values()]
right.barh(names, differences, color="tab:orange")
right.set(
    xlabel="largest difference of a probability",
    xscale="log",
    xlim=(1e-8, 1),
)
folder.cleanup()
plt.show()

# %%
# LiteRT and ONNX files give the classifier's probabilities, up to
# rounding: if they did not, the export would raise an error and leave no
# file. With kernels in 8 bits, a file is about a third of the size, and
# its probabilities differ visibly. The report says how many labels change;
# check this on your own faces.
