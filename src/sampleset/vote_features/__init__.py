"""What a learned vote may look at: one file per group of features, and none of them sees a gold answer."""
