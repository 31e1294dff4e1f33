"""The mathematics of the model: arrays in, arrays out.

Numpy and scipy, and threadpoolctl for threads; no estimator.  Imports run one way:
training -> contrastive_divergence -> sampling -> energy -> parameters.
"""
