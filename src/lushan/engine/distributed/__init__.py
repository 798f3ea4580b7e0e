"""Processes that train one model: strategies, and how ranks are started."""
