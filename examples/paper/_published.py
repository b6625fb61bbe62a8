"""The numbers of the paper, table by table: PAtt-Lite, arXiv 2306.09626v2, 13 August 2024.

Scores are accuracies in %. None means that the paper prints nothing or a dash.
"""

from dataclasses import dataclass

#: In the order of the paper's columns, in this library's spelling.
EXPRESSIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt")

#: Databases and their challenging subsets, in the order of Tables 2 and 11.
SUBSETS = (
    ("RAF-DB", "occlusion"),
    ("RAF-DB", "pose30"),
    ("RAF-DB", "pose45"),
    ("FERPlus", "occlusion"),
    ("FERPlus", "pose30"),
    ("FERPlus", "pose45"),
)

#: By number in the paper's list of references; None is the paper itself.
YEARS = {
    None: 2024,
    5: 2020,
    8: 2018,
    9: 2021,
    10: 2021,
    11: 2020,
    23: 2021,
    24: 2021,
    25: 2022,
    26: 2022,
    27: 2023,
    28: 2021,
    29: 2021,
    40: 2021,
    41: 2021,
    42: 2021,
    43: 2022,
    44: 2021,
    45: 2022,
    46: 2023,
    47: 2023,
    48: 2022,
    49: 2020,
    50: 2021,
    51: 2021,
    52: 2022,
    53: 2023,
    54: 2021,
    55: 2022,
    56: 2022,
}


@dataclass(frozen=True)
class Method:
    """A row of a comparison: millions of parameters, and scores in % by column."""

    name: str
    reference: int | None
    parameters: float | None
    scores: dict

    @property
    def year(self):
        """Year in the paper's list of references."""
        return YEARS[self.reference]


def _by_expression(*counts):
    return dict(zip(EXPRESSIONS, counts, strict=True))


def _methods(columns, *rows):
    """Make methods of name, reference, millions of parameters, and a score for each column."""
    return tuple(
        Method(name, reference, parameters, dict(zip(columns, scores, strict=True)))
        for name, reference, parameters, *scores in rows
    )


# Images of each class, all parts together.
TABLE_1 = {
    "RAF-DB": _by_expression(867, 877, 355, 5957, 3204, 2460, 1619, None),
    "FER2013": _by_expression(4953, 547, 5121, 8989, 6198, 6077, 4002, None),
    "FERPlus": _by_expression(3123, 253, 825, 9367, 13014, 4414, 4493, 221),
}

# Images of each class in the challenging subsets, which are taken from the test parts.
TABLE_2 = {
    ("RAF-DB", "occlusion"): _by_expression(31, 47, 35, 236, 191, 122, 72, None),
    ("RAF-DB", "pose30"): _by_expression(75, 78, 38, 446, 282, 179, 149, None),
    ("RAF-DB", "pose45"): _by_expression(37, 36, 20, 164, 129, 90, 82, None),
    ("FERPlus", "occlusion"): _by_expression(23, 3, 33, 122, 162, 125, 135, 2),
    ("FERPlus", "pose30"): _by_expression(102, 5, 28, 286, 466, 151, 127, 5),
    ("FERPlus", "pose45"): _by_expression(52, 1, 16, 141, 271, 89, 59, 4),
}

# Images of each part. FER2013 has 62 fewer than in Table 1, and its test scores in Tables 4 and 6
# are fractions of 3,589 images rather than of 3,582.
TABLE_3 = {
    "RAF-DB": {"training": 12271, "validation": None, "testing": 3068},
    "FER2013": {"training": 28659, "validation": 3584, "testing": 3582},
    "FERPlus": {"training": 28558, "validation": 3579, "testing": 3573},
}

# Ablation, accuracy in %, by (attention classifier, patch extraction). With neither, it is the
# fine-tuned MobileNetV1; with both, PAtt-Lite. CK+ is the mean of ten folds.
TABLE_4 = {
    (False, False): {"CK+": 99.90, "RAF-DB": 85.17, "FER2013": 68.54, "FERPlus": 82.88},
    (False, True): {"CK+": 100.00, "RAF-DB": 81.10, "FER2013": 61.52, "FERPlus": 77.72},
    (True, False): {"CK+": 100.00, "RAF-DB": 91.00, "FER2013": 83.00, "FERPlus": 90.71},
    (True, True): {"CK+": 100.00, "RAF-DB": 95.05, "FER2013": 92.50, "FERPlus": 95.55},
}

# Best accuracy on RAF-DB in %, by (output layer counted from MobileNetV1's end, patch code), in the
# paper's order. The patches are made by a convolution and a pointwise one, not by PAtt-Lite's
# separable ones.
TABLE_5 = {
    (17, "NP7"): 90.03,
    (17, "OP3"): 89.96,
    (17, "OP5"): 89.80,
    (17, "P4"): 89.11,
    (17, "P8"): 88.92,
    (23, "NP7"): 93.71,
    (23, "P8"): 93.45,
    (23, "OP5"): 91.69,
    (23, "OP3"): 91.17,
    (23, "P4"): 89.93,
    (29, "NP7"): 94.78,
    (29, "OP3"): 93.84,
    (29, "P8"): 93.64,
    (29, "P4"): 89.41,
    (29, "OP5"): 80.22,
    (35, "P8"): 94.56,
    (35, "NP7"): 93.64,
    (35, "P4"): 90.51,
    (35, "OP5"): 85.43,
    (35, "OP3"): 82.95,
    (41, "P8"): 94.39,
    (41, "NP7"): 93.09,
    (41, "OP5"): 92.86,
    (41, "P4"): 89.50,
    (41, "OP3"): 82.66,
    (47, "P8"): 87.84,
    (47, "NP7"): 86.38,
    (47, "OP5"): 84.03,
    (47, "OP3"): 79.04,
    (47, "P4"): 78.13,
}

# Accuracy in % of PAtt-Lite with each kind of patches.
TABLE_6 = {
    "Patch Attention": {"RAF-DB": 94.17, "FER2013": 89.86, "FERPlus": 92.72},
    "Patch Extraction": {"RAF-DB": 95.05, "FER2013": 92.50, "FERPlus": 95.55},
}

# CK+, accuracy in %. The paper prints no numbers of parameters.
TABLE_7 = _methods(
    ("CK+",),
    ("gACNN", 8, None, 96.40),
    ("pACNN", 8, None, 97.03),
    ("SCAN-CCI", 9, None, 97.31),
    ("IF-GAN", 40, None, 97.52),
    ("FDRL", 41, None, 99.54),
    ("ViT + SE", 23, None, 99.80),
    ("FER-VT", 42, None, 100.00),
    ("PAtt-Lite", None, None, 100.00),
)

# RAF-DB and FERPlus, accuracy in %. VTFF has a network for each.
TABLE_8 = _methods(
    ("RAF-DB", "FERPlus"),
    ("VTFF", 28, 80.1, None, 88.81),
    ("RAN", 5, 11.2, 86.90, 89.16),
    ("VTFF", 28, 51.8, 88.14, None),
    ("SCAN-CCI", 9, 70.0, 89.02, 89.42),
    ("EAC", 43, 11.2, 89.99, 89.64),
    ("ARM", 44, 11.2, 90.42, None),
    ("TransFER", 24, 65.2, 90.91, 90.83),
    ("Facial Chirality", 45, 46.2, 91.20, None),
    ("DDAMFN", 46, 4.11, 91.35, 90.74),
    ("APViT", 26, 65.2, 91.98, 90.86),
    ("POSTER", 25, 71.8, 92.05, 91.62),
    ("POSTER++", 27, 43.7, 92.21, None),
    ("ARBEx", 47, None, 92.47, 93.09),
    ("CIAO", 48, 17.9, None, 94.50),
    ("PAtt-Lite", None, 1.10, 95.05, 95.55),
)

# RAF-DB, recall of each class and their mean in %. Imponderous Net, SCAN-CCI (no decimals) and ARM
# (one) are padded with zeros: the paper takes them from confusion matrices.
TABLE_9 = _methods(
    ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "average"),
    ("Imponderous Net", 10, 1.45, 78.00, 54.00, 57.00, 96.00, 88.00, 85.00, 85.00, 77.57),
    ("MViT", 29, 33.0, 78.40, 63.75, 60.81, 95.61, 89.12, 87.45, 87.54, 80.38),
    ("VTFF", 28, 51.8, 85.80, 68.12, 64.86, 94.09, 87.50, 87.24, 85.41, 81.86),
    ("SCAN-CCI", 9, 70.0, 81.00, 70.00, 66.00, 96.00, 89.00, 86.00, 88.00, 82.29),
    ("ARM", 44, 11.2, 77.20, 64.40, 70.30, 95.40, 97.90, 83.90, 90.30, 82.77),
    ("TransFER", 24, 65.2, 88.89, 79.37, 68.92, 95.95, 90.15, 88.70, 89.06, 85.86),
    ("POSTER++", 27, 43.7, 88.27, 71.88, 68.92, 97.22, 92.06, 92.89, 90.58, 85.97),
    ("POSTER", 25, 71.8, 88.89, 75.00, 67.57, 96.96, 92.35, 91.21, 90.27, 86.04),
    ("APViT", 26, 65.2, 86.42, 73.75, 72.97, 97.30, 92.06, 88.70, 93.31, 86.36),
    ("PAtt-Lite", None, 1.10, 95.68, 80.00, 72.97, 97.97, 96.03, 93.93, 96.05, 90.38),
)

# FER2013, accuracy in %. The paper prints no numbers of parameters.
TABLE_10 = _methods(
    ("FER2013",),
    ("KDL", 49, None, 71.28),
    ("MAFER", 50, None, 73.45),
    ("PASM", 51, None, 73.59),
    ("LHC-Net", 52, None, 74.42),
    ("EmoNeXt-XLarge", 53, None, 76.12),
    ("MoVE-CNNs", 54, None, 77.70),
    ("FLEPNet", 55, None, 80.72),
    ("NECM-PECM Ensemble", 56, None, 88.00),
    ("PAtt-Lite", None, None, 92.50),
)

# Challenging subsets, accuracy in %. VTFF has a network for each database.
TABLE_11 = _methods(
    SUBSETS,
    ("RAN", 5, 11.2, 82.72, 86.74, 85.20, 83.63, 82.23, 80.40),
    ("Imponderous Net", 10, 1.45, 83.40, 86.12, 84.41, 83.47, 86.84, 84.83),
    ("VTFF", 28, 51.8, 83.95, 87.97, 88.35, None, None, None),
    ("VTFF", 28, 80.1, None, None, None, 84.79, 88.29, 87.20),
    ("OADN", 11, None, None, None, None, 84.57, 88.52, 87.50),
    ("SCAN-CCI", 9, 70.0, 85.03, 89.82, 89.07, 86.12, 88.89, 88.15),
    ("MViT", 29, 33.0, 85.17, 87.99, 88.40, None, None, None),
    ("Facial Chirality", 45, 46.2, 88.16, 91.50, 90.86, None, None, None),
    ("PAtt-Lite", None, 1.10, 92.23, 95.35, 94.44, 93.22, 96.07, 92.58),
)

# Percentage points that the attention classifier adds to MobileNetV1, according to the text of
# section IV-C. Table 4 agrees.
CLAIMED_ATTENTION_GAIN = {"RAF-DB": 5.83, "FER2013": 14.46, "FERPlus": 7.83}

# Percentage points that patch extraction adds to the attention classifier, according to the same
# text. Table 4 has 4.05 on RAF-DB and 9.50 on FER2013, and agrees on FERPlus.
CLAIMED_PATCH_GAIN = {"RAF-DB": 3.92, "FER2013": 2.37, "FERPlus": 4.84}

# The best method on RAF-DB before PAtt-Lite, according to section II-B. Table 8 has ARBEx, 92.47.
CLAIMED_BEST_ON_RAF_DB = ("POSTER++", 92.21)

# The second-best method on FERPlus, according to the same section. Table 8 has it third, behind
# CIAO and ARBEx.
CLAIMED_SECOND_ON_FERPLUS = ("POSTER", 91.62)
