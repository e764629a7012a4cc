"""The latent variable z: the ELBO and other bounds, the priors over z, the fit and cache of the label prior."""
