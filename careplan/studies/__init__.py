"""What researchers run: training, ablation, calibration, replayed cohorts, and evaluation of data sets."""
