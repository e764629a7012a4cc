"""What leaves a run: labelled data sets, the SavedModel, the page."""
