"""The examples in JavaScript and C++ beside the package, and what the page of the first looks like."""
