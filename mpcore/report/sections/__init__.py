"""What is said of records, a file for each kind of thing: pure functions from records to sections."""
