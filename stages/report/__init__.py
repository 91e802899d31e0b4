"""One page that says what a run did, for people who were not there."""
