"""From a model file to files of other runtimes: each is opened by its own runtime, and compared, before it is kept."""
