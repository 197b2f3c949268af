"""tokenkeep keeps OAuth grants: every account fresh, no refresh token lost or spent twice."""

__version__ = "0.1.0"
