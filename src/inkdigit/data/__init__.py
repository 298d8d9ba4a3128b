"""From names and files to labelled data sets."""
