"""How good a model is: one file per thing measured. The scripts put them together and print."""
