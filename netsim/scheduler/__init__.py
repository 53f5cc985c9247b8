"""The scheduler: pure filters and scores over incremental node state, and the loop that binds."""
