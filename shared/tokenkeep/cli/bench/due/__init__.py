"""How what is due is found: among how many accounts, at what cost, and after a week of churn."""
