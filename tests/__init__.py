"""The tests: a file for each behaviour; real servers and processes wherever something could go wrong between them."""
