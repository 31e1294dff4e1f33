"""The mathematics of the model: arrays in, arrays out.

Numpy and scipy only; no estimator, no ``self``.  Imports run one way:
training -> contrastive_divergence -> sampling -> energy -> parameters.
"""
