"""Adapters as plain torch modules, in stacks of K, for models of transformers 4.57 to 5.x.

The formulas and files are those of the library `adapters` 1.3 (Poth et al. 2023), which reads what is written here.
"""
