"""What scikit-learn's callbacks hear of fits."""
