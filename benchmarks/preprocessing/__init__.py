"""How the preprocessing of the examples, in JavaScript and C++, compares with that of the package."""
