"""Export from a run: labelled data sets, a SavedModel, the page."""
