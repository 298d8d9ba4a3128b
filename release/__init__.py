"""What is done before a release: `python -m release.check`, which is `make release-check`."""
