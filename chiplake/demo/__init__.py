"""`chiplake demo`: the nightly job on a small synthetic archive, a summary of the run, and a picture of it."""
