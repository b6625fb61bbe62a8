"""Published accuracies of lightweight networks, measured by a trustworthy protocol."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A network: number of parameters; accuracy and its deviation, in %, by database."""

    name: str
    parameters: int
    scores: dict

    def score(self, database):
        """Format the mean and the standard deviation between seeds."""
        mean, deviation = self.scores[database]
        return f"{mean:.2f} ± {deviation:.2f}"


PEERS_SOURCE = (
    "Figures of other networks, and of PAtt-Lite with its attention over the patches: "
    "github.com/StevenHSKim/near-neutral-fer, 112×112 pixels, ImageNet weights, the epoch chosen "
    "on validation data, tested once; 5 seeds of PAtt-Lite. Its FERPlus is that of load_ferplus' "
    "labels_as='plurality', 3,546 test images, and not the paper's, 3,573."
)
PEERS = (
    Peer(
        "PAtt-Lite, attention over the patches",
        1_094_000,
        {"RAF-DB": (84.09, 0.45), "FER2013": (70.08, 0.32), "FERPlus": (83.10, 0.68)},
    ),
    Peer(
        "MobileViT-XXS",
        953_000,
        {"RAF-DB": (84.29, 0.57), "FER2013": (70.63, 0.90), "FERPlus": (83.58, 0.37)},
    ),
    Peer("NN-SKD", 953_000, {"RAF-DB": (84.92, 0.31), "FER2013": (71.42, 0.44)}),
    Peer(
        "EfficientFace",
        1_273_000,
        {"RAF-DB": (81.00, 0.84), "FER2013": (69.18, 0.72), "FERPlus": (82.88, 0.48)},
    ),
    Peer(
        "ResNet-18",
        11_200_000,
        {"RAF-DB": (84.22, 0.55), "FER2013": (70.60, 0.93), "FERPlus": (83.43, 0.50)},
    ),
)
