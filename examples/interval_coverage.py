"""Do 95 % intervals contain the truth 95 % of the time? Over subjects, and over images.

    python examples/interval_coverage.py

Simulates studies of 118 people, as in CK+, who differ in how easily their expressions are
recognized. The truth is the mean accuracy over the population that they are drawn from.
`expression_report` resamples subjects if groups are given, and images otherwise. Images of one
person fail together, so intervals over images are too narrow. Takes a minute on two cores.
"""

import argparse

import numpy as np

from sklearn_patt_lite.metrics import expression_report

N_SUBJECTS, N_CLASSES = 118, 7
ABILITY = 6, 2  # parameters of the beta distribution of the subjects' accuracies
TRUTH = ABILITY[0] / sum(ABILITY)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    covered = coverage(arguments.studies, arguments.resamples, np.random.default_rng(0))
    print(f"{arguments.studies} studies of {N_SUBJECTS} subjects, accuracy {TRUTH:.2f}")
    for resampled, share in covered.items():
        error = np.sqrt(share * (1 - share) / arguments.studies)
        print(
            f"95 % intervals that resample {resampled:8} contain it in {100 * share:.1f} % of the "
            f"studies (standard error {100 * error:.1f})"
        )


def coverage(n_studies, n_resamples, rng):
    """Compute the share of studies whose interval contains the truth, by what is resampled."""
    covered = {"subjects": 0, "images": 0}
    for _ in range(n_studies):
        true, predicted, groups = simulate(rng)
        for resampled, given in (("subjects", groups), ("images", None)):
            report = expression_report(
                true,
                predicted,
                groups=given,
                n_resamples=n_resamples,
                random_state=int(rng.integers(2**31)),
            )
            low, high = report.intervals["accuracy"]
            covered[resampled] += low <= TRUTH <= high
    return {resampled: n / n_studies for resampled, n in covered.items()}


def simulate(rng):
    """Simulate a study: true labels, predicted labels and subjects; 3 to 15 images per subject."""
    groups = np.repeat(np.arange(N_SUBJECTS), rng.integers(3, 16, N_SUBJECTS))
    able = rng.beta(*ABILITY, N_SUBJECTS)
    true = rng.integers(0, N_CLASSES, len(groups))
    wrong = (true + rng.integers(1, N_CLASSES, len(groups))) % N_CLASSES
    is_right = rng.random(len(groups)) < able[groups]
    return true, np.where(is_right, true, wrong), groups


if __name__ == "__main__":
    main()
