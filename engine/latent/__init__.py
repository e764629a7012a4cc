"""The latent variable z: the ELBO and other bounds, the priors over z, the label prior's fit and file."""
