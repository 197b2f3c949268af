"""Traces by OpenTelemetry: the one room that knows it. Where traces are off, nothing here but `opening` is imported."""
