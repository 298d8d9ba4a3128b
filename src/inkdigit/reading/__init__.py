"""Reading: numbers of several digits in pictures, in the fields of a form, in the cells of a grid."""
