"""The engines that compute models in this process, their files, and the record of trained aggregators."""
