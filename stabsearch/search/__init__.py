"""Where to look next: samplers, the durable study, and the order of a sweep's stages."""

from stabsearch.search.frontier_sampler import FrontierSampler

__all__ = ["FrontierSampler"]
