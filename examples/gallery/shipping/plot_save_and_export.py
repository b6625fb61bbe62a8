"""
Saved, loaded and exported
==========================

A fitted classifier is kept in a file without a pickle, for people, and
exported to one graph from images to probabilities, for phones, browsers
and servers. Both say what the classifier says, and that is checked.
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
# ``save_model`` writes a zip archive of data only: to load it runs nothing
# of it, whoever made it. Who is on the training images belongs in the
# description, which goes to a model card inside.

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
# ``export_model`` writes a file for LiteRT or ONNX Runtime, which resizes
# and scales images itself. ONNX and LiteRT in 8 bits need the extra
# ``export``. What the file says of the
# images ``X`` is compared with the classifier before it is kept. With
# ``calibration`` images the kernels of convolutions are stored in 8 bits,
# at the cost of small differences.

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
# Beside each file a JSON file says what goes in and what comes out. LiteRT
# needs no more than that, and neither this library nor TensorFlow.

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
# LiteRT and ONNX files say what the classifier says, up to rounding: an
# export that did not would be an error, and no file. With kernels in 8
# bits a file is about a third of the size, and its probabilities differ
# visibly; how many labels that changes is in the report, and is to be
# looked at for your own faces.
