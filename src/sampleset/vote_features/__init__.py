"""The features of a learned vote: one file per group, and none of them sees a gold answer."""
