"""Notification of scikit-learn's callbacks about fits."""
