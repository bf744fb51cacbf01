"""The only way in which media is fetched from addresses that clients name."""

from reynard.providers.fetcher.guarded import FetchRules, GuardedFetcher

__all__ = ["FetchRules", "GuardedFetcher"]
