"""The mathematics of the model: arrays in, arrays out.

Numpy and scipy, and threadpoolctl for threads; no estimator.  Imports run one way, from
training down to parameters; pyproject.toml has the whole order, and it is checked.
"""
