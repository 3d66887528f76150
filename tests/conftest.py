"""Settings of every test: no timing limits, since the machine may be busy."""

from hypothesis import settings

settings.register_profile("stabsearch", deadline=None)
settings.load_profile("stabsearch")
