"""The API's calls, by what they are about. The modules without `_async` are derived from those with it, by `make client`."""
